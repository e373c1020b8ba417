// What every test may use: a fresh folder, and small helpers that are not about any one room.
#ifndef TESTS_SUPPORT_SUPPORT_H
#define TESTS_SUPPORT_SUPPORT_H

// For a test program's main: all its folders lie in one, which goes with the program however its
// tests end. Removes what programs that were killed have left.
void support_run_start(void);

// Makes an empty folder for this test under $TMPDIR or /tmp and returns its path, which lives until
// the next call in this process. Stops the test when it cannot.
const char *support_tmpdir(void);

// Removes a folder made by support_tmpdir with all it holds.
void support_tmpdir_remove(const char *path);

// A TCP port on 127.0.0.1 that was free a moment ago, for servers that must know theirs beforehand.
int support_port(void);

#endif

// A small root file system for containers, made of this machine's busybox.
#ifndef TESTS_SUPPORT_BUSYBOX_ROOT_H
#define TESTS_SUPPORT_BUSYBOX_ROOT_H

// Makes it in `root`, which does not exist yet: a shell and its friends in /bin, and user app
// (1000, group 1001, also in 2000) in /etc. Stops the test when it cannot.
void busybox_root_make(const char *root);

#endif

// What the docker command has and skep has not, each with what to do instead. A test walks through
// docker's help: whatever it lists is a command or an option of ours, or a row here.
#ifndef CMD_SKEP_ABSENT_H
#define CMD_SKEP_ABSENT_H

// Why there is no command of that path ("manifest inspect", also by its first word alone), as a
// sentence that begins with what is not supported; NULL when docker has none either.
const char *absent_command(const char *path);

// The same for an option ("cpu-count") of a command ("container run").
const char *absent_option(const char *path, const char *option);

#endif

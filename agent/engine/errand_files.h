// Files that errands carry: a body into a file, and a file into an answer.
#ifndef AGENT_ENGINE_ERRAND_FILES_H
#define AGENT_ENGINE_ERRAND_FILES_H

#include "agent/engine/errand.h"

// Embedded first in the struct given to errand_new. The file is removed with the errand.
struct errand_files {
    struct errand errand;
    char path[4096];
    int fd; // -1: none open
    struct err err;
    bool sending;
    void (*uploaded)(struct errand_files *files);
    void (*fini)(struct errand_files *files); // may be NULL
};

// Names a file in the folder, which exists; nothing is made yet.
int errand_files_init(struct errand_files *files, const char *dir, struct err *err);

// The request's body goes into the file, then `uploaded` runs. For rows of UPLOAD_ENDPOINTS.
int errand_upload(struct errand_files *files, void (*uploaded)(struct errand_files *files),
                  struct err *err);

// Answers 200 with the file, which somebody has written meanwhile.
void errand_download(struct errand_files *files, const char *type);

#endif

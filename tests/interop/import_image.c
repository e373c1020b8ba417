// Puts an image into the store of a skepd that does not run, for tests whose hosts reach no
// registry:
//
//   interop_import_image STORE TAR NAME      the image's command is "sh"
#include <stdio.h>

#include "agent/image/images_io.h"
#include "proto/base/loop_io.h"

static struct loop loop;
static int status = 1;

static void on_image(void *owner, const struct image *image, const struct err *err)
{
    (void)owner;
    (void)image;
    if (err)
        fprintf(stderr, "%s\n", err->message);
    status = err ? 1 : 0;
    loop_stop(&loop);
}

int main(int argc, char **argv)
{
    json_t *object = json_pack("{s:[s]}", "Cmd", "sh");
    struct import_config config = {.config = object};
    struct images *images;
    struct err err = ERR_INIT;
    if (argc != 4) {
        fprintf(stderr, "usage: %s STORE TAR NAME\n", argv[0]);
        return 2;
    }
    loop_init(&loop);
    struct images_config store = {.loop = &loop, .root = argv[1]};
    if (images_open(&store, &images, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    images_import(images, argv[2], &config, argv[3], on_image, NULL);
    json_decref(object);
    loop_run(&loop);
    images_close(images);
    loop_fini(&loop);
    return status;
}

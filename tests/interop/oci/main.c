// Containers with the real crun, runc and conmon.
#include "tests/interop/oci/boxes.h"

int main(void)
{
    Suite *suite = suite_create("oci");
    TCase *tcase = tcase_create("life");
    tcase_add_checked_fixture(tcase, boxes_setup, boxes_teardown);
    tcase_set_timeout(tcase, 180);
    oci_life_tests(tcase);
    oci_confinement_tests(tcase);
    oci_streams_tests(tcase);
    oci_crowd_tests(tcase);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

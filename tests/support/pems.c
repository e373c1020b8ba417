#include "tests/support/pems.h"

const char pem_ca[] = "-----BEGIN CERTIFICATE-----\n"
                      "MIIBjTCCATOgAwIBAgIUUePFgDD4/T9wMp0IvTstyKnhFIowCgYIKoZIzj0EAwIw\n"
                      "EzERMA8GA1UEAwwIc3dhcm0tY2EwIBcNMjYxMTIwMTQxNzE2WhgPMjEyNjEwMjcx\n"
                      "NDE3MTZaMBMxETAPBgNVBAMMCHN3YXJtLWNhMFkwEwYHKoZIzj0CAQYIKoZIzj0D\n"
                      "AQcDQgAEiHzlyjeZ6d0FkaesAiID/Wzt6gQCYuuUhjFZClJQONrxlJerb/acf+UM\n"
                      "h/3m1+4A7AdNG/MIkYA4NQyhupqE4qNjMGEwHQYDVR0OBBYEFPSgBHGsaOPtBUmx\n"
                      "WnXkPfewMcX2MB8GA1UdIwQYMBaAFPSgBHGsaOPtBUmxWnXkPfewMcX2MA8GA1Ud\n"
                      "EwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgIEMAoGCCqGSM49BAMCA0gAMEUCIFcg\n"
                      "zkK9ZlKqLt3MQlXCT6qDwX34q8eJKtJNVrzP1zd7AiEAo4FrnnGJERqMd4d6qxSJ\n"
                      "kDdzH7bh/C+yNH4g4dwNOzg=\n"
                      "-----END CERTIFICATE-----\n";

const char pem_manager[] = "-----BEGIN CERTIFICATE-----\n"
                           "MIIB8TCCAZagAwIBAgICTJgwCgYIKoZIzj0EAwIwEzERMA8GA1UEAwwIc3dhcm0t\n"
                           "Y2EwIBcNMjYxMTIwMTQxNzE2WhgPMjEyNjEwMjcxNDE3MTZaMDsxETAPBgNVBAoM\n"
                           "CGNsdXN0ZXIxMRYwFAYDVQQLDA1zd2FybS1tYW5hZ2VyMQ4wDAYDVQQDDAVub2Rl\n"
                           "MTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABD4Cplpo7vO16mx+B+hdyQhcLH3c\n"
                           "MB0SBAN9yCXQ4P5fv+QxQImqiUfY/biYYxWMpSRRnT2KrTbOuJ7z+qcswK6jga8w\n"
                           "gawwDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8EBAMCBaAwHQYDVR0lBBYwFAYIKwYB\n"
                           "BQUHAwEGCCsGAQUFBwMCMC0GA1UdEQQmMCSCDXN3YXJtLW1hbmFnZXKCCHN3YXJt\n"
                           "LWNhgglsb2NhbGhvc3QwHQYDVR0OBBYEFApCZiWSv5b7c5oN+ql/l8osAvCDMB8G\n"
                           "A1UdIwQYMBaAFPSgBHGsaOPtBUmxWnXkPfewMcX2MAoGCCqGSM49BAMCA0kAMEYC\n"
                           "IQDUfOpiN3CT9xkc5NajVt+cC8iujbuodHaRVUaa/6DFwwIhAJ/Hj5kAWPWC3Qt/\n"
                           "WTT1TAULp4sx4kEv4u93QEMSVNPh\n"
                           "-----END CERTIFICATE-----\n";

const char pem_manager_key[] = "-----BEGIN PRIVATE KEY-----\n"
                               "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgaehua519d7r0CMym\n"
                               "oBWs5fjpA/Gc6o0U9XYoMjT12zKhRANCAAQ+AqZaaO7ztepsfgfoXckIXCx93DAd\n"
                               "EgQDfcgl0OD+X7/kMUCJqolH2P24mGMVjKUkUZ09iq02zrie8/qnLMCu\n"
                               "-----END PRIVATE KEY-----\n";

const char pem_worker[] = "-----BEGIN CERTIFICATE-----\n"
                          "MIIB2DCCAX+gAwIBAgICas4wCgYIKoZIzj0EAwIwEzERMA8GA1UEAwwIc3dhcm0t\n"
                          "Y2EwIBcNMjYxMTIwMTQxNzE2WhgPMjEyNjEwMjcxNDE3MTZaMDoxETAPBgNVBAoM\n"
                          "CGNsdXN0ZXIxMRUwEwYDVQQLDAxzd2FybS13b3JrZXIxDjAMBgNVBAMMBW5vZGUy\n"
                          "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEGE/i9lsAyPfaZhWDeeqWSo9WG+vz\n"
                          "BYieV1/vAlUMYI5Dy9RF/Sf45lRp3qJs+CJIdhh2pz0+M/wWBi9DX+neOKOBmTCB\n"
                          "ljAMBgNVHRMBAf8EAjAAMA4GA1UdDwEB/wQEAwIFoDAdBgNVHSUEFjAUBggrBgEF\n"
                          "BQcDAQYIKwYBBQUHAwIwFwYDVR0RBBAwDoIMc3dhcm0td29ya2VyMB0GA1UdDgQW\n"
                          "BBSZLIx9NAwEpWAX07ucymyLIqspRTAfBgNVHSMEGDAWgBT0oARxrGjj7QVJsVp1\n"
                          "5D33sDHF9jAKBggqhkjOPQQDAgNHADBEAiBokl+a6zi4A4vUt66/F8yeez8VahhY\n"
                          "i0V0PBNLwkLqNgIgfrJF/W5YHlU1+mRN1RrFkd4Z2YTQ0MMKlw70o+b6PLo=\n"
                          "-----END CERTIFICATE-----\n";

const char pem_worker_key[] = "-----BEGIN PRIVATE KEY-----\n"
                              "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgFD4WZ14u/LGZ65U0\n"
                              "aXscj4hV0Xa1qP2TIoFSI48RHYmhRANCAAQYT+L2WwDI99pmFYN56pZKj1Yb6/MF\n"
                              "iJ5XX+8CVQxgjkPL1EX9J/jmVGneomz4Ikh2GHanPT4z/BYGL0Nf6d44\n"
                              "-----END PRIVATE KEY-----\n";

const char pem_expired[] = "-----BEGIN CERTIFICATE-----\n"
                           "MIIB1zCCAXygAwIBAgIBATAKBggqhkjOPQQDAjATMREwDwYDVQQDDAhzd2FybS1j\n"
                           "YTAeFw0yMDAxMDEwMDAwMDBaFw0yMDAyMDEwMDAwMDBaMDoxDjAMBgNVBAMMBW5v\n"
                           "ZGU0MREwDwYDVQQKDAhjbHVzdGVyMTEVMBMGA1UECwwMc3dhcm0td29ya2VyMFkw\n"
                           "EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEygSIBgeOSfmojQtKkWeTQ7ewdFFjTlQG\n"
                           "dCj5+ozJeat2Ky1D9jT28ce418bNHRC97vfVVVLbjT8fn74rKBIoB6OBmTCBljAM\n"
                           "BgNVHRMBAf8EAjAAMA4GA1UdDwEB/wQEAwIFoDAdBgNVHSUEFjAUBggrBgEFBQcD\n"
                           "AQYIKwYBBQUHAwIwFwYDVR0RBBAwDoIMc3dhcm0td29ya2VyMB0GA1UdDgQWBBQI\n"
                           "tzrVH/oChfR7n1f7tpoc9SbkAzAfBgNVHSMEGDAWgBT0oARxrGjj7QVJsVp15D33\n"
                           "sDHF9jAKBggqhkjOPQQDAgNJADBGAiEAyYns9mJWd/BhoHEke67Hjkj9poHTvzGn\n"
                           "dlGTTvlTpNQCIQDTnSfa6le/DSgo+9COYu9GCNtbgyAOVysi3qp/d9PPnw==\n"
                           "-----END CERTIFICATE-----\n";

const char pem_expired_key[] = "-----BEGIN PRIVATE KEY-----\n"
                               "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgJEzBfr1wXGqbsvvL\n"
                               "/zX2z+E4ftmybyTyKbcE8R5wG1ShRANCAATKBIgGB45J+aiNC0qRZ5NDt7B0UWNO\n"
                               "VAZ0KPn6jMl5q3YrLUP2NPbxx7jXxs0dEL3u99VVUtuNPx+fvisoEigH\n"
                               "-----END PRIVATE KEY-----\n";

const char pem_stranger[] = "-----BEGIN CERTIFICATE-----\n"
                            "MIIB2DCCAX+gAwIBAgICAy0wCgYIKoZIzj0EAwIwEzERMA8GA1UEAwwIc3dhcm0t\n"
                            "Y2EwIBcNMjYxMTIwMTQxNzE2WhgPMjEyNjEwMjcxNDE3MTZaMDoxETAPBgNVBAoM\n"
                            "CGNsdXN0ZXIxMRUwEwYDVQQLDAxzd2FybS13b3JrZXIxDjAMBgNVBAMMBW5vZGUz\n"
                            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7xBsUKXJMuCoE7LMz2br91PmoXGj\n"
                            "JIq1mfjJPDgAuTLwfN97uSo+e6islY0YHABctpKKXSBUMK0jSnRWfSZSH6OBmTCB\n"
                            "ljAMBgNVHRMBAf8EAjAAMA4GA1UdDwEB/wQEAwIFoDAdBgNVHSUEFjAUBggrBgEF\n"
                            "BQcDAQYIKwYBBQUHAwIwFwYDVR0RBBAwDoIMc3dhcm0td29ya2VyMB0GA1UdDgQW\n"
                            "BBQ/eASgPK+mIzuyOQluBXuXqR6XszAfBgNVHSMEGDAWgBRr3S89Yspb3XvOpqgi\n"
                            "dOcMzgKHQzAKBggqhkjOPQQDAgNHADBEAiAFLRT9pOcoUgYXYpBGkWE/urKtOzSP\n"
                            "sgaHMTCJ21ZIGQIgCqSmhEjrhUKxT+frRMcxyDaltT+n7Gi+9VxfqTWKSCo=\n"
                            "-----END CERTIFICATE-----\n";

const char pem_stranger_key[] = "-----BEGIN PRIVATE KEY-----\n"
                                "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg++jYqA/g/BYEAZis\n"
                                "RRQtCAQsVsf2aNI5Jj+I8gRCRdmhRANCAATvEGxQpcky4KgTsszPZuv3U+ahcaMk\n"
                                "irWZ+Mk8OAC5MvB833u5Kj57qKyVjRgcAFy2kopdIFQwrSNKdFZ9JlIf\n"
                                "-----END PRIVATE KEY-----\n";

const char pem_nameless[] = "-----BEGIN CERTIFICATE-----\n"
                            "MIIBxzCCAW2gAwIBAgICL30wCgYIKoZIzj0EAwIwEzERMA8GA1UEAwwIc3dhcm0t\n"
                            "Y2EwIBcNMjYxMTIwMTQxNzE2WhgPMjEyNjEwMjcxNDE3MTZaMEMxETAPBgNVBAoM\n"
                            "CGNsdXN0ZXIxMRYwFAYDVQQLDA1zd2FybS1tYW5hZ2VyMRYwFAYDVQQDDA1zd2Fy\n"
                            "bS1tYW5hZ2VyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEc+vA3DpKtVh+8oIz\n"
                            "V3hCWT3LtOUXMVIiIrVEbZYD1dg+/CxhYDViocAQ2NNZZTCcYDD53RvsF8WgOSw8\n"
                            "Q/g+faN/MH0wDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8EBAMCBaAwHQYDVR0lBBYw\n"
                            "FAYIKwYBBQUHAwEGCCsGAQUFBwMCMB0GA1UdDgQWBBTjTOfr8BuSI4U7c8W0vmo+\n"
                            "cxtoDzAfBgNVHSMEGDAWgBT0oARxrGjj7QVJsVp15D33sDHF9jAKBggqhkjOPQQD\n"
                            "AgNIADBFAiBxoKIPpsgtzHAN0uDTzAK4dv4m4wOdHD1eW7ABWGbQ7wIhAKMBcToJ\n"
                            "F3nW7yltHMRjy0yIqD54PE+ve5Nwk3mfQPoy\n"
                            "-----END CERTIFICATE-----\n";

const char pem_nameless_key[] = "-----BEGIN PRIVATE KEY-----\n"
                                "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgR4LRlSWLRYYZKc2K\n"
                                "XfKWNthCYddisJzVdanxi3XzcyihRANCAARz68DcOkq1WH7ygjNXeEJZPcu05Rcx\n"
                                "UiIitURtlgPV2D78LGFgNWKhwBDY01llMJxgMPndG+wXxaA5LDxD+D59\n"
                                "-----END PRIVATE KEY-----\n";

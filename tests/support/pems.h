// Certificates for tests, valid for a hundred years (but for the one that must not be): ECDSA
// P-256, O=cluster1, made with openssl. No key here protects anything.
#ifndef TESTS_SUPPORT_PEMS_H
#define TESTS_SUPPORT_PEMS_H

// Root of the cluster.
extern const char pem_ca[];

// ServerAuth for swarm-manager, swarm-ca and localhost.
extern const char pem_manager[];
extern const char pem_manager_key[];

// ServerAuth and clientAuth for swarm-worker.
extern const char pem_worker[];
extern const char pem_worker_key[];

// As worker, over since 2020.
extern const char pem_expired[];
extern const char pem_expired_key[];

// As worker, from another root.
extern const char pem_stranger[];
extern const char pem_stranger_key[];

// As manager, but without alternative names.
extern const char pem_nameless[];
extern const char pem_nameless_key[];

#endif

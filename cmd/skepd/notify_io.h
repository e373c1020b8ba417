// What the service manager wants to know, and what it hands us: systemd's two protocols, which are
// a datagram and three environment variables. Without a service manager nothing happens.
#ifndef CMD_SKEPD_NOTIFY_IO_H
#define CMD_SKEPD_NOTIFY_IO_H

// Sends a state such as "READY=1" (sd_notify(3) lists them). A service manager that does not listen
// is no error.
void notify_send(const char *state);

// How many sockets were handed over, as descriptors from NOTIFY_FIRST_FD on (sd_listen_fds(3)).
// They are made close-on-exec.
#define NOTIFY_FIRST_FD 3
#define NOTIFY_FDS_MAX  16
int notify_listen_fds(void);

// Takes our variables out of the environment, so that no child acts on them.
void notify_forget(void);

#endif

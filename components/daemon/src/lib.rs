//! The frame of every daemon: logging, signals, supervised tasks, TLS serving, delegated authentication, health, metrics.

//! What all client daemons share: kubeconfig, informers, work queue, leader election, events.

"""A candidate of the official client's leader election by Lease.

    leader.py KUBECONFIG IDENTITY

Prints «leading» when elected, and keeps the Lease until it is killed.
"""
import sys
import threading

from kubernetes import config
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock


def lead():
    print("leading", flush=True)
    threading.Event().wait()


kubeconfig, identity = sys.argv[1:]
config.load_kube_config(config_file=kubeconfig)
lock = LeaseLock("operator", "default", identity)
leaderelection.LeaderElection(electionconfig.Config(
    lock, lease_duration=3, renew_deadline=2, retry_period=0.5,
    onstarted_leading=lead, onstopped_leading=None)).run()

"""A candidate of the official client's leader election by Lease.

    leader.py KUBECONFIG IDENTITY

Prints «leading» when elected, and keeps the Lease until it is killed.
"""
import logging
import sys
import threading

from kubernetes import config
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock


def lead():
    print("leading", flush=True)
    threading.Event().wait()


kubeconfig, identity = sys.argv[1:]
logging.basicConfig(level=logging.INFO)
config.load_kube_config(config_file=kubeconfig)
lock = LeaseLock("operator", "default", identity)
leaderelection.LeaderElection(electionconfig.Config(
    lock, lease_duration=5, renew_deadline=4, retry_period=2,
    onstarted_leading=lead, onstopped_leading=None)).run()

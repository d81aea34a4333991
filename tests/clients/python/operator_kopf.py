"""An operator as people write them with kopf: children, status, a finalizer, a validating webhook.

    kopf run --standalone --namespace default operator_kopf.py

The folder CERTIFICATES holds webhook.crt, webhook.key and ca.crt; PORT is the webhook's.
"""
import os

import kopf
from kubernetes import client, config


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_):
    config.load_kube_config(config_file=os.environ["KUBECONFIG"])
    folder = os.environ["CERTIFICATES"]
    settings.posting.enabled = True
    settings.admission.managed = "operator.sample.example"
    settings.admission.server = kopf.WebhookServer(
        addr="127.0.0.1", port=int(os.environ["PORT"]), host="127.0.0.1",
        certfile=f"{folder}/webhook.crt", pkeyfile=f"{folder}/webhook.key", cafile=f"{folder}/ca.crt")


@kopf.on.validate("sample.example", "v1", "greetings")
def polite(spec, warnings, **_):
    if "curse" in spec.get("text", ""):
        raise kopf.AdmissionError("greetings are polite", code=422)
    if spec.get("times", 1) > 5:
        warnings.append("that is a lot of greetings")


def wanted(name, spec):
    return {"metadata": {"name": name}, "data": {"text": " ".join([spec["text"]] * spec.get("times", 1))}}


@kopf.on.create("sample.example", "v1", "greetings")
def created(name, namespace, spec, patch, **_):
    child = wanted(name, spec)
    kopf.adopt(child)
    client.CoreV1Api().create_namespaced_config_map(namespace, child)
    patch.status["phase"] = "Ready"


@kopf.on.update("sample.example", "v1", "greetings", field="spec")
def updated(name, namespace, spec, **_):
    client.CoreV1Api().patch_namespaced_config_map(name, namespace, wanted(name, spec))


@kopf.on.delete("sample.example", "v1", "greetings")
def deleted(name, namespace, **_):
    # What is outside the cluster would be removed here; the finalizer holds the object meanwhile.
    client.CoreV1Api().create_namespaced_config_map(
        namespace, {"metadata": {"name": f"{name}-farewell"}, "data": {"text": "goodbye"}})

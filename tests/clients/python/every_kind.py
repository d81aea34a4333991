"""Every kind with the official client: created, read, listed, watched, patched by each type, applied, deleted.

    every_kind.py KUBECONFIG SAMPLES

Prints a line per failure and exits 1 if there was one.
"""
import sys
import threading

import yaml
from kubernetes import config, dynamic
from kubernetes.client import api_client, exceptions

NAMESPACE = "default"
PATCHES = [
    ("application/json-patch+json", [{"op": "add", "path": "/metadata/annotations", "value": {"json": "yes"}}]),
    ("application/merge-patch+json", {"metadata": {"annotations": {"merge": "yes"}}}),
    ("application/strategic-merge-patch+json", {"metadata": {"annotations": {"strategic": "yes"}}}),
]


def watched(resource, where, name, since, seen, ended):
    """Collects the kinds of events of one object until it is deleted."""
    try:
        for event in resource.watch(resource_version=since, timeout=30, **where):
            if event["object"].metadata.name != name:
                continue
            seen.append(event["type"])
            if event["type"] == "DELETED":
                break
    finally:
        ended.set()


def delete(client, resource, where, name):
    """Deletes it, and takes over the controllers' part for objects that are held by finalizers."""
    resource.delete(name=name, **where)
    try:
        left = resource.get(name=name, **where)
    except exceptions.ApiException as error:
        assert error.status == 404, error
        return
    assert left.metadata.deletionTimestamp, "still there, and not being deleted"
    if resource.kind == "Namespace":
        body = left.to_dict()
        body["spec"]["finalizers"] = []
        client.request("put", f"/api/v1/namespaces/{name}/finalize", body=body)
    else:
        try:
            resource.patch(body={"metadata": {"finalizers": None}}, name=name,
                           content_type="application/merge-patch+json", **where)
        except exceptions.ApiException as error:
            assert error.status == 404, error  # its own controller was faster


def replace(resource, where, name):
    """Reads it and writes it back changed; again when a controller was faster."""
    while True:
        updated = resource.get(name=name, **where).to_dict()
        updated["metadata"]["annotations"]["replaced"] = "yes"
        try:
            return resource.replace(body=updated, name=name, **where)
        except exceptions.ApiException as error:
            assert error.status == 409, error


def life(client, sample):
    resource = client.resources.get(api_version=sample["apiVersion"], kind=sample["kind"])
    name = sample["metadata"]["name"]
    where = {"namespace": NAMESPACE} if resource.namespaced else {}
    before = resource.get(**where)
    assert name not in [item.metadata.name for item in before.items]
    seen, ended = [], threading.Event()
    watcher = threading.Thread(
        target=watched, daemon=True, args=(resource, where, name, before.metadata.resourceVersion, seen, ended))
    watcher.start()

    created = resource.create(body=sample, **where)
    assert created.metadata.uid and created.metadata.resourceVersion
    got = resource.get(name=name, **where)
    assert got.metadata.uid == created.metadata.uid
    assert got.kind == sample["kind"] and got.apiVersion == sample["apiVersion"]
    assert name in [item.metadata.name for item in resource.get(**where).items]
    for content_type, body in PATCHES:
        patched = resource.patch(body=body, name=name, content_type=content_type, **where)
    # Some kinds have annotations of the server's own beside these.
    annotations = patched.metadata.annotations.to_dict()
    assert {"json": "yes", "merge": "yes", "strategic": "yes"}.items() <= annotations.items(), annotations
    applied = resource.server_side_apply(
        body={"apiVersion": sample["apiVersion"], "kind": sample["kind"],
              "metadata": {"name": name, "labels": {"applied": "yes"}}},
        name=name, field_manager="every-kind", **where)
    assert applied.metadata.labels["applied"] == "yes"
    managers = [entry.manager for entry in applied.metadata.managedFields if entry.operation == "Apply"]
    assert "every-kind" in managers, managers
    replaced = replace(resource, where, name)
    assert replaced.metadata.annotations["replaced"] == "yes"
    assert name in [item.metadata.name for item in resource.get(label_selector="applied=yes", **where).items]
    delete(client, resource, where, name)
    assert ended.wait(30), f"the watch did not see the deletion: {seen}"
    assert seen[0] == "ADDED" and seen[-1] == "DELETED", seen
    assert seen.count("MODIFIED") >= 5 and len(seen) == seen.count("MODIFIED") + 2, seen


def main():
    kubeconfig, samples = sys.argv[1:]
    client = dynamic.DynamicClient(api_client.ApiClient(configuration=load(kubeconfig)))
    with open(samples) as file:
        documents = [document for document in yaml.safe_load_all(file) if document]
    failures = 0
    for sample in documents:
        try:
            life(client, sample)
        except Exception as error:  # every kind is tried
            failures += 1
            print(f"{sample['apiVersion']} {sample['kind']}: {type(error).__name__}: {error}")
    print(f"{len(documents) - failures} of {len(documents)} kinds")
    sys.exit(1 if failures else 0)


def load(kubeconfig):
    from kubernetes.client import Configuration
    configuration = Configuration()
    config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
    return configuration


if __name__ == "__main__":
    main()

use super::Kind::{Embedded, Flag, List, Metadata, Number, Plain, Pointer, Struct, Text};
use super::Member;
use super::types::{NODE_SELECTOR, NODE_TERM, TOLERATION};

type Members = &'static [Member];

const KEY_PATH: Members = &[
    Member("Key", "key", Text),
    Member("Path", "path", Text),
    Member("Mode", "mode", Plain),
];

const SELECTOR_KEY: Members = &[
    Member("Name", "name", Text),
    Member("Key", "key", Text),
    Member("Optional", "optional", Plain),
];

const OBJECT_FIELD: Members = &[
    Member("APIVersion", "apiVersion", Text),
    Member("FieldPath", "fieldPath", Text),
];

const RESOURCE_FIELD: Members = &[
    Member("ContainerName", "containerName", Text),
    Member("Resource", "resource", Text),
    Member("Divisor", "divisor", Plain),
];

const ENV: Members = &[
    Member("Name", "name", Text),
    Member("Value", "value", Text),
    Member(
        "ValueFrom",
        "valueFrom",
        Pointer(&[
            Member("FieldRef", "fieldRef", Pointer(OBJECT_FIELD)),
            Member("ResourceFieldRef", "resourceFieldRef", Pointer(RESOURCE_FIELD)),
            Member("ConfigMapKeyRef", "configMapKeyRef", Pointer(SELECTOR_KEY)),
            Member("SecretKeyRef", "secretKeyRef", Pointer(SELECTOR_KEY)),
            Member(
                "FileKeyRef",
                "fileKeyRef",
                Pointer(&[
                    Member("VolumeName", "volumeName", Text),
                    Member("Path", "path", Text),
                    Member("Key", "key", Text),
                    Member("Optional", "optional", Plain),
                ]),
            ),
        ]),
    ),
];

const ENV_SOURCE: Members = &[
    Member("Name", "name", Text),
    Member("Optional", "optional", Plain),
];

const ENV_FROM: Members = &[
    Member("Prefix", "prefix", Text),
    Member("ConfigMapRef", "configMapRef", Pointer(ENV_SOURCE)),
    Member("SecretRef", "secretRef", Pointer(ENV_SOURCE)),
];

const CONTAINER_PORT: Members = &[
    Member("Name", "name", Text),
    Member("HostPort", "hostPort", Number),
    Member("ContainerPort", "containerPort", Number),
    Member("Protocol", "protocol", Text),
    Member("HostIP", "hostIP", Text),
];

const MOUNT: Members = &[
    Member("Name", "name", Text),
    Member("ReadOnly", "readOnly", Flag),
    Member("RecursiveReadOnly", "recursiveReadOnly", Plain),
    Member("MountPath", "mountPath", Text),
    Member("SubPath", "subPath", Text),
    Member("MountPropagation", "mountPropagation", Plain),
    Member("SubPathExpr", "subPathExpr", Text),
];

const RESOURCES: Members = &[
    Member("Limits", "limits", Plain),
    Member("Requests", "requests", Plain),
    Member(
        "Claims",
        "claims",
        List(&[Member("Name", "name", Text), Member("Request", "request", Text)]),
    ),
];

const EXEC: Members = &[Member("Command", "command", Plain)];

const HTTP_GET: Members = &[
    Member("Path", "path", Text),
    Member("Port", "port", Number),
    Member("Host", "host", Text),
    Member("Scheme", "scheme", Text),
    Member(
        "HTTPHeaders",
        "httpHeaders",
        List(&[Member("Name", "name", Text), Member("Value", "value", Text)]),
    ),
];

const TCP_SOCKET: Members = &[Member("Port", "port", Number), Member("Host", "host", Text)];

const PROBE: Members = &[
    Member("Exec", "exec", Pointer(EXEC)),
    Member("HTTPGet", "httpGet", Pointer(HTTP_GET)),
    Member("TCPSocket", "tcpSocket", Pointer(TCP_SOCKET)),
    Member(
        "GRPC",
        "grpc",
        Pointer(&[
            Member("Port", "port", Number),
            Member("Service", "service", Plain),
        ]),
    ),
    Member("InitialDelaySeconds", "initialDelaySeconds", Number),
    Member("TimeoutSeconds", "timeoutSeconds", Number),
    Member("PeriodSeconds", "periodSeconds", Number),
    Member("SuccessThreshold", "successThreshold", Number),
    Member("FailureThreshold", "failureThreshold", Number),
    Member(
        "TerminationGracePeriodSeconds",
        "terminationGracePeriodSeconds",
        Plain,
    ),
];

const HOOK: Members = &[
    Member("Exec", "exec", Pointer(EXEC)),
    Member("HTTPGet", "httpGet", Pointer(HTTP_GET)),
    Member("TCPSocket", "tcpSocket", Pointer(TCP_SOCKET)),
    Member("Sleep", "sleep", Pointer(&[Member("Seconds", "seconds", Number)])),
];

const SELINUX: Members = &[
    Member("User", "user", Text),
    Member("Role", "role", Text),
    Member("Type", "type", Text),
    Member("Level", "level", Text),
];

const WINDOWS: Members = &[
    Member("GMSACredentialSpecName", "gmsaCredentialSpecName", Plain),
    Member("GMSACredentialSpec", "gmsaCredentialSpec", Plain),
    Member("RunAsUserName", "runAsUserName", Plain),
    Member("HostProcess", "hostProcess", Plain),
];

const PROFILE: Members = &[
    Member("Type", "type", Text),
    Member("LocalhostProfile", "localhostProfile", Plain),
];

pub(in crate::validate) const CONTAINER_SECURITY: Members = &[
    Member(
        "Capabilities",
        "capabilities",
        Pointer(&[Member("Add", "add", Plain), Member("Drop", "drop", Plain)]),
    ),
    Member("Privileged", "privileged", Plain),
    Member("SELinuxOptions", "seLinuxOptions", Pointer(SELINUX)),
    Member("WindowsOptions", "windowsOptions", Pointer(WINDOWS)),
    Member("RunAsUser", "runAsUser", Plain),
    Member("RunAsGroup", "runAsGroup", Plain),
    Member("RunAsNonRoot", "runAsNonRoot", Plain),
    Member("ReadOnlyRootFilesystem", "readOnlyRootFilesystem", Plain),
    Member("AllowPrivilegeEscalation", "allowPrivilegeEscalation", Plain),
    Member("ProcMount", "procMount", Plain),
    Member("SeccompProfile", "seccompProfile", Pointer(PROFILE)),
    Member("AppArmorProfile", "appArmorProfile", Pointer(PROFILE)),
];

const RESTART_RULE: Members = &[
    Member("Action", "action", Text),
    Member(
        "ExitCodes",
        "exitCodes",
        Pointer(&[
            Member("Operator", "operator", Text),
            Member("Values", "values", Plain),
        ]),
    ),
];

pub(in crate::validate) const RESIZE_POLICY: Members = &[
    Member("ResourceName", "resourceName", Text),
    Member("RestartPolicy", "restartPolicy", Text),
];

const CONTAINER: Members = &[
    Member("Name", "name", Text),
    Member("Image", "image", Text),
    Member("Command", "command", Plain),
    Member("Args", "args", Plain),
    Member("WorkingDir", "workingDir", Text),
    Member("Ports", "ports", List(CONTAINER_PORT)),
    Member("EnvFrom", "envFrom", List(ENV_FROM)),
    Member("Env", "env", List(ENV)),
    Member("Resources", "resources", Struct(RESOURCES)),
    Member(
        "ResizePolicy",
        "resizePolicy",
        List(&[
            Member("ResourceName", "resourceName", Text),
            Member("RestartPolicy", "restartPolicy", Text),
        ]),
    ),
    Member("RestartPolicy", "restartPolicy", Plain),
    Member("RestartPolicyRules", "restartPolicyRules", List(RESTART_RULE)),
    Member("VolumeMounts", "volumeMounts", List(MOUNT)),
    Member(
        "VolumeDevices",
        "volumeDevices",
        List(&[
            Member("Name", "name", Text),
            Member("DevicePath", "devicePath", Text),
        ]),
    ),
    Member("LivenessProbe", "livenessProbe", Pointer(PROBE)),
    Member("ReadinessProbe", "readinessProbe", Pointer(PROBE)),
    Member("StartupProbe", "startupProbe", Pointer(PROBE)),
    Member(
        "Lifecycle",
        "lifecycle",
        Pointer(&[
            Member("PostStart", "postStart", Pointer(HOOK)),
            Member("PreStop", "preStop", Pointer(HOOK)),
            Member("StopSignal", "stopSignal", Plain),
        ]),
    ),
    Member("TerminationMessagePath", "terminationMessagePath", Text),
    Member("TerminationMessagePolicy", "terminationMessagePolicy", Text),
    Member("ImagePullPolicy", "imagePullPolicy", Text),
    Member("SecurityContext", "securityContext", Pointer(CONTAINER_SECURITY)),
    Member("Stdin", "stdin", Flag),
    Member("StdinOnce", "stdinOnce", Flag),
    Member("TTY", "tty", Flag),
];

/// The pod's own fields `hostNetwork`, `hostPID`, `hostIPC`, `hostUsers` and `shareProcessNamespace` are part of this
/// struct inside upstream; a value is brought into that form by [`template`].
const POD_SECURITY: Members = &[
    Member("HostNetwork", "hostNetwork", Flag),
    Member("HostPID", "hostPID", Flag),
    Member("HostIPC", "hostIPC", Flag),
    Member("ShareProcessNamespace", "shareProcessNamespace", Plain),
    Member("HostUsers", "hostUsers", Plain),
    Member("SELinuxOptions", "seLinuxOptions", Pointer(SELINUX)),
    Member("WindowsOptions", "windowsOptions", Pointer(WINDOWS)),
    Member("RunAsUser", "runAsUser", Plain),
    Member("RunAsGroup", "runAsGroup", Plain),
    Member("RunAsNonRoot", "runAsNonRoot", Plain),
    Member("SupplementalGroups", "supplementalGroups", Plain),
    Member("SupplementalGroupsPolicy", "supplementalGroupsPolicy", Plain),
    Member("FSGroup", "fsGroup", Plain),
    Member("FSGroupChangePolicy", "fsGroupChangePolicy", Plain),
    Member(
        "Sysctls",
        "sysctls",
        List(&[Member("Name", "name", Text), Member("Value", "value", Text)]),
    ),
    Member("SeccompProfile", "seccompProfile", Pointer(PROFILE)),
    Member("AppArmorProfile", "appArmorProfile", Pointer(PROFILE)),
    Member("SELinuxChangePolicy", "seLinuxChangePolicy", Plain),
];

const POD_TERM: Members = &[
    Member("LabelSelector", "labelSelector", Plain),
    Member("Namespaces", "namespaces", Plain),
    Member("TopologyKey", "topologyKey", Text),
    Member("NamespaceSelector", "namespaceSelector", Plain),
    Member("MatchLabelKeys", "matchLabelKeys", Plain),
    Member("MismatchLabelKeys", "mismatchLabelKeys", Plain),
];

const POD_AFFINITY: Members = &[
    Member(
        "RequiredDuringSchedulingIgnoredDuringExecution",
        "requiredDuringSchedulingIgnoredDuringExecution",
        List(POD_TERM),
    ),
    Member(
        "PreferredDuringSchedulingIgnoredDuringExecution",
        "preferredDuringSchedulingIgnoredDuringExecution",
        List(&[
            Member("Weight", "weight", Number),
            Member("PodAffinityTerm", "podAffinityTerm", Struct(POD_TERM)),
        ]),
    ),
];

const AFFINITY: Members = &[
    Member(
        "NodeAffinity",
        "nodeAffinity",
        Pointer(&[
            Member(
                "RequiredDuringSchedulingIgnoredDuringExecution",
                "requiredDuringSchedulingIgnoredDuringExecution",
                Pointer(NODE_SELECTOR),
            ),
            Member(
                "PreferredDuringSchedulingIgnoredDuringExecution",
                "preferredDuringSchedulingIgnoredDuringExecution",
                List(&[
                    Member("Weight", "weight", Number),
                    Member("Preference", "preference", Struct(NODE_TERM)),
                ]),
            ),
        ]),
    ),
    Member("PodAffinity", "podAffinity", Pointer(POD_AFFINITY)),
    Member("PodAntiAffinity", "podAntiAffinity", Pointer(POD_AFFINITY)),
];

/// The volume sources that templates of jobs commonly have.
const VOLUME: Members = &[
    Member("Name", "name", Text),
    Member(
        "HostPath",
        "hostPath",
        Pointer(&[Member("Path", "path", Text), Member("Type", "type", Plain)]),
    ),
    Member(
        "EmptyDir",
        "emptyDir",
        Pointer(&[
            Member("Medium", "medium", Text),
            Member("SizeLimit", "sizeLimit", Plain),
        ]),
    ),
    Member("GCEPersistentDisk", "gcePersistentDisk", Plain),
    Member("AWSElasticBlockStore", "awsElasticBlockStore", Plain),
    Member("GitRepo", "gitRepo", Plain),
    Member(
        "Secret",
        "secret",
        Pointer(&[
            Member("SecretName", "secretName", Text),
            Member("Items", "items", List(KEY_PATH)),
            Member("DefaultMode", "defaultMode", Plain),
            Member("Optional", "optional", Plain),
        ]),
    ),
    Member("NFS", "nfs", Plain),
    Member("ISCSI", "iscsi", Plain),
    Member("Glusterfs", "glusterfs", Plain),
    Member(
        "PersistentVolumeClaim",
        "persistentVolumeClaim",
        Pointer(&[
            Member("ClaimName", "claimName", Text),
            Member("ReadOnly", "readOnly", Flag),
        ]),
    ),
    Member("RBD", "rbd", Plain),
    Member("Quobyte", "quobyte", Plain),
    Member("FlexVolume", "flexVolume", Plain),
    Member("Cinder", "cinder", Plain),
    Member("CephFS", "cephfs", Plain),
    Member("Flocker", "flocker", Plain),
    Member("DownwardAPI", "downwardAPI", Plain),
    Member("FC", "fc", Plain),
    Member("AzureFile", "azureFile", Plain),
    Member(
        "ConfigMap",
        "configMap",
        Pointer(&[
            Member("Name", "name", Text),
            Member("Items", "items", List(KEY_PATH)),
            Member("DefaultMode", "defaultMode", Plain),
            Member("Optional", "optional", Plain),
        ]),
    ),
    Member("VsphereVolume", "vsphereVolume", Plain),
    Member("AzureDisk", "azureDisk", Plain),
    Member("PhotonPersistentDisk", "photonPersistentDisk", Plain),
    Member("Projected", "projected", Plain),
    Member("PortworxVolume", "portworxVolume", Plain),
    Member("ScaleIO", "scaleIO", Plain),
    Member("StorageOS", "storageos", Plain),
    Member("CSI", "csi", Plain),
    Member("Ephemeral", "ephemeral", Plain),
    Member("Image", "image", Plain),
];

const SPREAD: Members = &[
    Member("MaxSkew", "maxSkew", Number),
    Member("TopologyKey", "topologyKey", Text),
    Member("WhenUnsatisfiable", "whenUnsatisfiable", Text),
    Member("LabelSelector", "labelSelector", Plain),
    Member("MinDomains", "minDomains", Plain),
    Member("NodeAffinityPolicy", "nodeAffinityPolicy", Plain),
    Member("NodeTaintsPolicy", "nodeTaintsPolicy", Plain),
    Member("MatchLabelKeys", "matchLabelKeys", Plain),
];

/// core.EphemeralContainer
pub(in crate::validate) const EPHEMERAL_CONTAINER: Members = &[
    Member("", "", Embedded(CONTAINER)),
    Member("TargetContainerName", "targetContainerName", Text),
];

pub(in crate::validate) const POD_SPEC: Members = &[
    Member("Volumes", "volumes", List(VOLUME)),
    Member("InitContainers", "initContainers", List(CONTAINER)),
    Member("Containers", "containers", List(CONTAINER)),
    Member(
        "EphemeralContainers",
        "ephemeralContainers",
        List(EPHEMERAL_CONTAINER),
    ),
    Member("RestartPolicy", "restartPolicy", Text),
    Member(
        "TerminationGracePeriodSeconds",
        "terminationGracePeriodSeconds",
        Plain,
    ),
    Member("ActiveDeadlineSeconds", "activeDeadlineSeconds", Plain),
    Member("DNSPolicy", "dnsPolicy", Text),
    Member("NodeSelector", "nodeSelector", Plain),
    Member("ServiceAccountName", "serviceAccountName", Text),
    Member(
        "AutomountServiceAccountToken",
        "automountServiceAccountToken",
        Plain,
    ),
    Member("NodeName", "nodeName", Text),
    Member("SecurityContext", "securityContext", Pointer(POD_SECURITY)),
    Member(
        "ImagePullSecrets",
        "imagePullSecrets",
        List(&[Member("Name", "name", Text)]),
    ),
    Member("Hostname", "hostname", Text),
    Member("Subdomain", "subdomain", Text),
    Member("SetHostnameAsFQDN", "setHostnameAsFQDN", Plain),
    Member("Affinity", "affinity", Pointer(AFFINITY)),
    Member("SchedulerName", "schedulerName", Text),
    Member("Tolerations", "tolerations", List(TOLERATION)),
    Member(
        "HostAliases",
        "hostAliases",
        List(&[Member("IP", "ip", Text), Member("Hostnames", "hostnames", Plain)]),
    ),
    Member("PriorityClassName", "priorityClassName", Text),
    Member("Priority", "priority", Plain),
    Member("PreemptionPolicy", "preemptionPolicy", Plain),
    Member(
        "DNSConfig",
        "dnsConfig",
        Pointer(&[
            Member("Nameservers", "nameservers", Plain),
            Member("Searches", "searches", Plain),
            Member(
                "Options",
                "options",
                List(&[Member("Name", "name", Text), Member("Value", "value", Plain)]),
            ),
        ]),
    ),
    Member(
        "ReadinessGates",
        "readinessGates",
        List(&[Member("ConditionType", "conditionType", Text)]),
    ),
    Member("RuntimeClassName", "runtimeClassName", Plain),
    Member("Overhead", "overhead", Plain),
    Member("EnableServiceLinks", "enableServiceLinks", Plain),
    Member(
        "TopologySpreadConstraints",
        "topologySpreadConstraints",
        List(SPREAD),
    ),
    Member("OS", "os", Pointer(&[Member("Name", "name", Text)])),
    Member(
        "SchedulingGates",
        "schedulingGates",
        List(&[Member("Name", "name", Text)]),
    ),
    Member(
        "ResourceClaims",
        "resourceClaims",
        List(&[
            Member("Name", "name", Text),
            Member("ResourceClaimName", "resourceClaimName", Plain),
            Member("ResourceClaimTemplateName", "resourceClaimTemplateName", Plain),
        ]),
    ),
    Member("Resources", "resources", Pointer(RESOURCES)),
    Member("HostnameOverride", "hostnameOverride", Plain),
    Member("SchedulingGroup", "schedulingGroup", Plain),
];

/// core.PodTemplateSpec, of a value that [`template`] has rearranged.
pub(in crate::validate) const POD_TEMPLATE: Members = &[
    Member("", "metadata", Metadata),
    Member("Spec", "spec", Struct(POD_SPEC)),
];

/// The template with those of the pod's fields in the security context that upstream keeps there.
pub(in crate::validate) fn template(template: &serde_json::Value) -> serde_json::Value {
    let mut template = template.clone();
    if let Some(inside) = template.get_mut("spec") {
        *inside = spec(inside);
    }
    template
}

/// The same of a pod's `spec` alone.
pub(in crate::validate) fn spec(spec: &serde_json::Value) -> serde_json::Value {
    let mut spec = spec.clone();
    if let Some(spec) = spec.as_object_mut() {
        let moved: Vec<_> = [
            "hostNetwork",
            "hostPID",
            "hostIPC",
            "hostUsers",
            "shareProcessNamespace",
        ]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), spec.remove(name)?)))
        .collect();
        if let Some(context) = spec
            .get_mut("securityContext")
            .and_then(serde_json::Value::as_object_mut)
        {
            context.extend(moved);
        }
    }
    spec
}

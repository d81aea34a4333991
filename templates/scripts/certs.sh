# Prints every certificate in the places where Kubernetes keeps them, and who listens. Private keys stay where they are.
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
find -L /etc/hardway/current/ /etc/kubernetes /etc/etcd /var/lib/kubernetes /var/lib/kubelet/pki /var/lib/kubelet/kubeconfig \
    /var/lib/kube-proxy /root/.kube /home/*/.kube -maxdepth 4 -type f -size -512k \
    \( -name '*.crt' -o -name '*.pem' -o -name '*.cert' -o -name '*.conf' -o -name '*.yaml' -o -name '*.kubeconfig' \
    -o -name kubeconfig -o -name config \) 2>/dev/null | sort -u | while read -r path; do
    printf 'file=%s\n' "$path"
    awk '/-----BEGIN CERTIFICATE-----/ {inside = 1} inside {print} /-----END CERTIFICATE-----/ {inside = 0}' "$path"
    sed -n 's/^.*\(certificate-authority-data:.*\)$/embedded=\1/p; s/^.*\(client-certificate-data:.*\)$/embedded=\1/p' "$path"
done
ss -Hltnp 2>/dev/null | awk '{print "listen=" $4 " " $6}' | sort -u
echo complete=yes

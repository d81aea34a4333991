//! What a PKCS #10 request asks for, and whether a signer may grant it.

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use x509::SigningRequest;

pub const API_CLIENT: &str = "kubernetes.io/kube-apiserver-client";
pub const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
pub const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
pub const LEGACY: &str = "kubernetes.io/legacy-unknown";

/// The parts of a request that rules look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// What was read, and is to be signed: other readers may find another block in the same text.
    pub der: Vec<u8>,
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns_names: usize,
    pub addresses: usize,
    pub emails: usize,
    pub uris: usize,
}

impl Asked {
    /// Reads the PEM request of an object.
    pub fn read(request: &CertificateSigningRequest) -> Result<Self, String> {
        Self::from_pem(&request.spec.request.0)
    }

    fn from_pem(text: &[u8]) -> Result<Self, String> {
        let request = SigningRequest::from_pem(text).map_err(|error| error.to_string())?;
        Ok(Asked {
            der: request.der,
            common_name: request.common_name,
            organizations: request.organizations,
            dns_names: request.names.dns.len(),
            addresses: request.names.addresses.len(),
            emails: request.names.mailboxes.len(),
            uris: request.names.uris.len(),
        })
    }

    fn check_node_subject(&self) -> Result<(), String> {
        if self.organizations != ["system:nodes"] {
            return Err("subject organization is not system:nodes".to_owned());
        }
        if !self.common_name.starts_with("system:node:") {
            return Err("subject common name does not begin with system:node: ".to_owned());
        }
        Ok(())
    }

    /// A kubelet's client certificate.
    pub fn check_kubelet_client(&self, usages: &[String]) -> Result<(), String> {
        self.check_node_subject()?;
        for (count, what) in [
            (self.dns_names, "DNS"),
            (self.emails, "Email"),
            (self.addresses, "IP"),
            (self.uris, "URI"),
        ] {
            if count > 0 {
                return Err(format!("{what} subjectAltNames are not allowed"));
            }
        }
        check_usages(usages, "client auth")
    }

    /// A kubelet's serving certificate.
    pub fn check_kubelet_serving(&self, usages: &[String]) -> Result<(), String> {
        self.check_node_subject()?;
        if self.dns_names == 0 && self.addresses == 0 {
            return Err("DNS or IP subjectAltName is required".to_owned());
        }
        for (count, what) in [(self.emails, "Email"), (self.uris, "URI")] {
            if count > 0 {
                return Err(format!("{what} subjectAltNames are not allowed"));
            }
        }
        check_usages(usages, "server auth")
    }
}

/// Digital signature and the extended usage are needed, key encipherment is allowed, nothing else is.
fn check_usages(usages: &[String], extended: &str) -> Result<(), String> {
    let has = |wanted: &str| usages.iter().any(|usage| usage == wanted);
    let allowed =
        |usage: &String| ["digital signature", "key encipherment", extended].contains(&usage.as_str());
    if has("digital signature") && has(extended) && usages.iter().all(allowed) {
        Ok(())
    } else {
        Err(format!(
            "usages did not match [digital signature, key encipherment, {extended}]"
        ))
    }
}

/// Whether a signer grants a request; the error says why not.
pub fn check(signer: &str, asked: &Asked, usages: &[String]) -> Result<(), String> {
    match signer {
        KUBELET_CLIENT => asked.check_kubelet_client(usages),
        KUBELET_SERVING => asked.check_kubelet_serving(usages),
        API_CLIENT => {
            let allowed = |usage: &String| {
                ["digital signature", "key encipherment", "client auth"].contains(&usage.as_str())
            };
            if usages.iter().any(|usage| usage == "client auth") && usages.iter().all(allowed) {
                Ok(())
            } else {
                Err("usages must include client auth and may include digital signature and key encipherment only".to_owned())
            }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usages(list: &[&str]) -> Vec<String> {
        list.iter().map(|usage| (*usage).to_owned()).collect()
    }

    #[test]
    fn signers_grant_what_they_are_for() {
        let node = Asked {
            common_name: "system:node:n1".to_owned(),
            organizations: vec!["system:nodes".to_owned()],
            ..Asked::default()
        };
        let server = Asked {
            addresses: 1,
            ..node.clone()
        };
        let admin = Asked {
            common_name: "admin".to_owned(),
            organizations: vec!["system:masters".to_owned()],
            ..Asked::default()
        };
        let client = usages(&["digital signature", "client auth"]);
        let serving = usages(&["digital signature", "key encipherment", "server auth"]);
        for (signer, asked, usages, want) in [
            (KUBELET_CLIENT, &node, &client, true),
            (KUBELET_CLIENT, &node, &serving, false),
            (KUBELET_CLIENT, &server, &client, false),
            (KUBELET_CLIENT, &admin, &client, false),
            (KUBELET_SERVING, &server, &serving, true),
            (KUBELET_SERVING, &node, &serving, false),
            (API_CLIENT, &admin, &client, true),
            (API_CLIENT, &admin, &serving, false),
            (LEGACY, &admin, &serving, true),
        ] {
            assert_eq!(
                check(signer, asked, usages).is_ok(),
                want,
                "{signer} {asked:?} {usages:?}"
            );
        }
    }

    #[test]
    fn requests_are_read_and_garbage_is_refused() {
        let mut parameters =
            rcgen::CertificateParams::new(vec!["n1".to_owned(), "10.0.0.1".to_owned()]).unwrap();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters
            .distinguished_name
            .push(rcgen::DnType::CommonName, "system:node:n1");
        parameters
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, "system:nodes");
        let key = rcgen::KeyPair::generate().unwrap();
        let request = parameters.serialize_request(&key).unwrap();
        let pem = request.pem().unwrap();
        // What is signed is what was looked at: some readers take the first block in spite of its last line.
        let unclosed = pem.replace("END CERTIFICATE REQUEST", "END CERTIFICATE");
        let other = format!("{}{pem}", unclosed.replacen("\nM", "\nN", 1));
        let asked = Asked::from_pem(other.as_bytes()).unwrap();
        assert_eq!(asked.der, request.der().as_ref());
        assert_eq!(
            (asked.common_name.as_str(), asked.dns_names, asked.addresses),
            ("system:node:n1", 1, 1)
        );
        for garbage in [
            &b""[..],
            b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
            b"-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n",
        ] {
            assert!(Asked::from_pem(garbage).is_err());
        }
    }
}

//! Certificate authorities, leaf profiles and expiry of a hardway cluster.

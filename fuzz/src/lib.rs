//! What the fuzz targets run, apart from the fuzzer: `kube-apiserver`'s tests run it over the kept corpora.
pub mod decoders;

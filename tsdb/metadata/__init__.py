"""What is on disk, byte for byte: records and codecs of Paimon's format, without policy."""

//! Verify, repair, dump: what lies in a data directory, read without opening a store.

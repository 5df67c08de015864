//! End to end: the whole box, or whole houses, through their front doors.

mod ingest;
mod ingest_http;
mod ingest_rig;

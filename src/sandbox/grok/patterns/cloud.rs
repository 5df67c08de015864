//! Amazon's access logs: S3, the classic and the application load balancer, CloudFront.

use super::Entry;

pub(super) const PATTERNS: &[Entry] = &[
    ("S3_REQUEST_LINE", "(?:%{WORD:verb} %{NOTSPACE:request}(?: HTTP/%{NUMBER:httpversion})?|%{DATA:rawrequest})"),
    (
        "S3_ACCESS_LOG",
        concat!(
            r"%{WORD:owner} %{NOTSPACE:bucket} \[%{HTTPDATE:timestamp}\] (?:-|%{IP:clientip}) %{NOTSPACE:requester} ",
            r#"%{NOTSPACE:request_id} %{NOTSPACE:operation} %{NOTSPACE:key} (?:"%{S3_REQUEST_LINE}"|-) "#,
            r"(?:-|%{INT:response:int}) (?:-|%{NOTSPACE:error_code}) (?:-|%{INT:bytes:int}) (?:-|%{INT:object_size:int}) ",
            r"(?:-|%{INT:request_time_ms:int}) (?:-|%{INT:turnaround_time_ms:int}) (?:%{QS:referrer}|-) ",
            r"(?:%{QS:agent}|-) (?:-|%{NOTSPACE:version_id})"
        ),
    ),
    ("ELB_URIPATHPARAM", "%{URIPATH:path}(?:%{URIPARAM:params})?"),
    ("ELB_URI", r"%{URIPROTO:proto}://(?:%{USER}(?::[^@]*)?@)?(?:%{URIHOST:urihost})?(?:%{ELB_URIPATHPARAM})?"),
    ("ELB_REQUEST_LINE", "(?:%{WORD:verb} %{ELB_URI:request}(?: HTTP/%{NUMBER:httpversion})?|%{DATA:rawrequest})"),
    (
        "ELB_V1_HTTP_LOG",
        concat!(
            "%{TIMESTAMP_ISO8601:timestamp} %{NOTSPACE:elb} %{IP:clientip}:%{INT:clientport:int} ",
            "(?:-|%{IP:backendip}:%{INT:backendport:int}) %{NUMBER:request_processing_time:float} ",
            "%{NUMBER:backend_processing_time:float} %{NUMBER:response_processing_time:float} ",
            "(?:-|%{INT:response:int}) (?:-|%{INT:backend_response:int}) %{INT:received_bytes:int} %{INT:bytes:int} ",
            r#""%{ELB_REQUEST_LINE}""#
        ),
    ),
    ("ELB_ACCESS_LOG", "%{ELB_V1_HTTP_LOG}"),
    (
        "CLOUDFRONT_ACCESS_LOG",
        concat!(
            r"(?<timestamp>%{YEAR}-%{MONTHNUM}-%{MONTHDAY}\t%{TIME})\t%{WORD:x_edge_location}\t(?:-|%{INT:sc_bytes:int})\t",
            r"%{IPORHOST:clientip}\t%{WORD:cs_method}\t%{HOSTNAME:cs_host}\t%{NOTSPACE:cs_uri_stem}\t",
            r"(?:-|%{INT:sc_status:int})\t%{NOTSPACE:referrer}\t%{NOTSPACE:agent}\t%{NOTSPACE:cs_uri_query}\t",
            r"%{NOTSPACE:cookies}\t%{WORD:x_edge_result_type}\t%{NOTSPACE:x_edge_request_id}\t%{HOSTNAME:x_host_header}\t",
            r"%{URIPROTO:cs_protocol}\t%{INT:cs_bytes:int}\t(?<time_taken:float>%{NUMBER}(?:\t[^\n]*)?)\t%{NOTSPACE:x_forwarded_for}\t",
            r"%{NOTSPACE:ssl_protocol}\t%{NOTSPACE:ssl_cipher}\t%{NOTSPACE:x_edge_response_result_type}"
        ),
    ),
];

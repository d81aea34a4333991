//! From a request to its response.

use hickory_proto::op::{Edns, Header, HeaderCounts, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use rand::seq::SliceRandom;

use crate::catalog::Catalog;
use crate::forward::{Forwarder, MAX_PAYLOAD};
use crate::zone::{Answer, Zone};

/// Aliases that are followed for one question.
const MAX_ALIASES: usize = 8;

/// Answers requests.
pub struct Handler {
    pub zone: Zone,
    pub catalog: Catalog,
    pub forwarder: Forwarder,
}

/// The parts of a response.
#[derive(Debug, Default)]
struct Response {
    code: ResponseCode,
    authoritative: bool,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additional: Vec<Record>,
}

impl Response {
    fn error(code: ResponseCode) -> Response {
        Response {
            code,
            ..Response::default()
        }
    }
}

impl Handler {
    async fn answer(&self, name: &Name, record_type: RecordType) -> Response {
        let mut response = Response::default();
        let mut name = name.clone();
        for _ in 0..MAX_ALIASES {
            match self.zone.answer(&self.catalog, &name, record_type) {
                Answer::Elsewhere => {
                    match self.forwarder.resolve(&name, record_type).await {
                        Ok(forwarded) => {
                            response.code = forwarded.code;
                            response.answers.extend(forwarded.answers);
                            response.authorities = forwarded.authorities;
                        }
                        Err(error) => {
                            tracing::debug!(%name, %record_type, %error, "not resolved");
                            response.code = ResponseCode::ServFail;
                        }
                    }
                    return response;
                }
                // Half of the objects would give wrong answers that clients keep.
                _ if !self.catalog.is_synced() => return Response::error(ResponseCode::ServFail),
                Answer::Records(mut answers, additional) => {
                    response.authoritative = true;
                    // Clients often take the first.
                    answers.shuffle(&mut rand::rng());
                    response.answers.extend(answers);
                    response.additional = additional;
                    return response;
                }
                Answer::Alias(target) => {
                    response.authoritative = true;
                    let alias = RData::CNAME(CNAME(target.clone()));
                    response
                        .answers
                        .push(Record::from_rdata(name, self.zone.ttl, alias));
                    if record_type == RecordType::CNAME {
                        return response;
                    }
                    name = target;
                }
                negative @ (Answer::NoData | Answer::NoName) => {
                    response.authoritative = true;
                    if negative == Answer::NoName {
                        response.code = ResponseCode::NXDomain;
                    }
                    response.authorities = vec![self.zone.soa()];
                    return response;
                }
            }
        }
        tracing::debug!(%name, "too many aliases");
        Response::error(ResponseCode::ServFail)
    }

    async fn respond(&self, request: &Request) -> Response {
        if request.metadata.message_type != MessageType::Query || request.metadata.op_code != OpCode::Query {
            return Response::error(ResponseCode::NotImp);
        }
        if request.version() > 0 {
            return Response::error(ResponseCode::BADVERS);
        }
        let query = match request.request_info() {
            Ok(info) => info.query.original().clone(),
            Err(_) => return Response::error(ResponseCode::FormErr),
        };
        match (query.query_class(), query.query_type()) {
            (DNSClass::IN, RecordType::AXFR | RecordType::IXFR) => Response::error(ResponseCode::Refused),
            (DNSClass::IN, record_type) => self.answer(query.name(), record_type).await,
            _ => Response::error(ResponseCode::Refused),
        }
    }
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut to: R,
    ) -> ResponseInfo {
        let response = self.respond(request).await;
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = response.code;
        metadata.authoritative = response.authoritative;
        metadata.recursion_available = true;
        let edns = request.edns.as_ref().map(|_| {
            let mut edns = Edns::new();
            edns.set_max_payload(request.max_payload().min(MAX_PAYLOAD));
            edns
        });
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            builder.edns(edns);
        }
        let none: &[Record] = &[];
        let message = builder.build(
            metadata,
            &response.answers,
            &response.authorities,
            none,
            &response.additional,
        );
        match to.send_response(message).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(client = %request.src(), %error, "response not sent");
                ResponseInfo::from(Header {
                    metadata,
                    counts: HeaderCounts::default(),
                })
            }
        }
    }
}

//! DescribeUserScramCredentials, AlterUserScramCredentials: users, as Kafka's tools set them. The password comes salted and hashed
//! from the client; what SCRAM keeps of it is made here.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::describe_user_scram_credentials_response::{CredentialInfo, DescribeUserScramCredentialsResult};
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::super::{Caller, Operation, Resource};
use super::acls::blocking;
use crate::access::{Hashed, Mechanism, UserInfo};

/// DescribeUserScramCredentials.
pub(in super::super) async fn describe(
    caller: &Caller,
    _: i16,
    request: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    if let Err(error) = caller.permit(Operation::Describe, Resource::Cluster) {
        return DescribeUserScramCredentialsResponse::default().with_error_code(error.code());
    }
    let users: BTreeMap<String, UserInfo> =
        caller.server.access.users().into_iter().map(|user| (user.name.clone(), user)).collect();
    let known = |user: &UserInfo| {
        let credential = |(mechanism, iterations): &(Mechanism, u32)| {
            CredentialInfo::default().with_mechanism(code(*mechanism)).with_iterations(i32::try_from(*iterations).unwrap_or(0))
        };
        DescribeUserScramCredentialsResult::default()
            .with_user(StrBytes::from_string(user.name.clone()))
            .with_credential_infos(user.mechanisms.iter().map(credential).collect())
    };
    let mut results = Vec::new();
    match request.users.filter(|names| !names.is_empty()) {
        None => results.extend(users.values().map(known)),
        Some(names) => {
            let mut asked: BTreeMap<String, usize> = BTreeMap::new();
            for name in &names {
                *asked.entry(name.name.to_string()).or_default() += 1;
            }
            for (name, times) in asked {
                let failed = |error: ResponseError| {
                    let name = StrBytes::from_string(name.clone());
                    DescribeUserScramCredentialsResult::default().with_user(name).with_error_code(error.code())
                };
                results.push(match users.get(&name) {
                    _ if times > 1 => failed(ResponseError::DuplicateResource),
                    None => failed(ResponseError::ResourceNotFound),
                    Some(user) => known(user),
                });
            }
        }
    }
    DescribeUserScramCredentialsResponse::default().with_results(results)
}

/// What is wanted of one user.
#[derive(Default)]
struct Wanted {
    set: Vec<(String, Hashed)>,
    remove: Vec<(String, Mechanism)>,
    wrong: Option<(ResponseError, &'static str)>,
}

/// Notes a removal, unless something is wrong with it.
fn note(users: &mut BTreeMap<String, Wanted>, name: &StrBytes, mechanism: i8) {
    let name = name.to_string();
    let wanted = users.entry(name.clone()).or_default();
    let Some(mechanism) = from_code(mechanism) else {
        wanted.wrong = Some((ResponseError::UnsupportedSaslMechanism, "unknown mechanism"));
        return;
    };
    let twice =
        wanted.set.iter().any(|(_, one)| one.mechanism == mechanism) || wanted.remove.iter().any(|(_, one)| *one == mechanism);
    if twice {
        wanted.wrong = Some((ResponseError::DuplicateResource, "the same credential twice"));
    }
    wanted.remove.push((name, mechanism));
}

/// AlterUserScramCredentials. Each user's changes are made together, or not at all.
pub(in super::super) async fn alter(
    caller: &Caller,
    _: i16,
    request: AlterUserScramCredentialsRequest,
) -> AlterUserScramCredentialsResponse {
    let permitted = caller.permit(Operation::Alter, Resource::Cluster);
    let mut users: BTreeMap<String, Wanted> = BTreeMap::new();
    for deletion in &request.deletions {
        note(&mut users, &deletion.name, deletion.mechanism);
    }
    for set in request.upsertions {
        note(&mut users, &set.name, set.mechanism);
        // It was noted as a removal: now it is known what takes its place.
        let Some(wanted) = users.get_mut(set.name.as_str()) else { continue };
        if wanted.wrong.is_none()
            && let Some((name, mechanism)) = wanted.remove.pop()
        {
            let iterations = u32::try_from(set.iterations).unwrap_or(0);
            let hashed = Hashed { mechanism, salt: set.salt.to_vec(), iterations, salted: set.salted_password.to_vec() };
            if hashed.check().is_err() {
                wanted.wrong =
                    Some((ResponseError::UnacceptableCredential, "iterations: 8192 to 16384; salt: at most 64 bytes"));
            }
            wanted.set.push((name, hashed));
        }
    }
    let mut results = Vec::with_capacity(users.len());
    for (name, Wanted { set, remove, wrong }) in users {
        let result = AlterUserScramCredentialsResult::default().with_user(StrBytes::from_string(name));
        let done = match (permitted, wrong) {
            (Err(error), _) => Err((error, String::new())),
            (_, Some((error, why))) => Err((error, why.to_owned())),
            _ => blocking(caller, move |access| access.alter_credentials(&set, &remove)).await,
        };
        results.push(match done {
            Ok(()) => result,
            Err((error, why)) => result.with_error_code(error.code()).with_error_message(Some(StrBytes::from_string(why))),
        });
    }
    AlterUserScramCredentialsResponse::default().with_results(results)
}

const fn code(mechanism: Mechanism) -> i8 {
    match mechanism {
        Mechanism::ScramSha256 => 1,
        Mechanism::ScramSha512 => 2,
    }
}

const fn from_code(code: i8) -> Option<Mechanism> {
    match code {
        1 => Some(Mechanism::ScramSha256),
        2 => Some(Mechanism::ScramSha512),
        _ => None,
    }
}

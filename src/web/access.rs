//! Users and permissions, for the people of this machine: `/api/v1/users`, `/api/v1/acls`.
//!
//! The page and the API have no sign-in. So whoever manages users must sit on the box ([`origin::is_local`]), and declare bodies
//! as JSON, which web pages of somebody else may not send unasked.
//!
//! Invariants: no answer and no log line has a password or a key in it. A change is durable when it is answered.
//! Limits: bodies are at most [`BODY`].

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::access::binding::{Binding, BindingFilter, CLUSTER, Host, Permission, ResourceKind};
use crate::access::grant::{Verb, expand};
use crate::access::{Access, AccessError, Operation};
use crate::web::error::{Parameters, Refusal};
use crate::web::{Web, origin};

/// Largest body.
const BODY: usize = 1 << 20;

/// The routes.
pub fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/api/v1/users", get(users).post(add_user))
        .route("/api/v1/users/{name}", put(change_user).delete(delete_user))
        .route("/api/v1/acls", get(acls).post(grant))
        .route("/api/v1/acls/revoke", post(revoke))
        .layer(DefaultBodyLimit::max(BODY))
}

/// A request of somebody on this machine.
#[derive(Debug)]
pub struct Local;

impl<S: Send + Sync> FromRequestParts<S> for Local {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        if origin::is_local(origin::peer(&parts.extensions), &parts.headers) {
            return Ok(Self);
        }
        Err(Refusal::forbidden(
            "users and permissions are managed on the box itself, since the API has no sign-in: run `sawbox user` or \
             `sawbox acl` there, or use Kafka's own tools as a user who may alter the cluster",
        ))
    }
}

/// A JSON body of somebody on this machine.
#[derive(Debug)]
pub struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        Local::from_request_parts(&mut parts, state).await?;
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            return Err(Refusal::wrong("send the body as `content-type: application/json`"));
        }
        let bytes = axum::body::Bytes::from_request(Request::from_parts(parts, body), state).await;
        let bytes = bytes.map_err(|error| Refusal::wrong(error.body_text()))?;
        // What serde says of a value could be a password.
        let wrong = |error: serde_json::Error| {
            let why = if error.is_data() && !error.to_string().contains("unknown field") {
                "a field is missing or of the wrong type".to_owned()
            } else {
                error.to_string()
            };
            Refusal::wrong(format!(
                "the body is not what is expected: {why} (line {}, column {})",
                error.line(),
                error.column()
            ))
        };
        serde_json::from_slice(&bytes).map(Self).map_err(wrong)
    }
}

/// `GET /api/v1/users`
async fn users(_: Local, State(web): State<Arc<Web>>) -> Json<Value> {
    let bindings = web.access.bindings(&BindingFilter::default());
    let mut acls: HashMap<&str, u64> = HashMap::new();
    for binding in &bindings {
        *acls.entry(&binding.user).or_default() += 1;
    }
    let user = |user: crate::access::UserInfo| {
        let mechanisms: Vec<Value> = user
            .mechanisms
            .iter()
            .map(|(mechanism, iterations)| json!({ "mechanism": mechanism.name(), "iterations": iterations }))
            .collect();
        let own = acls.get(user.name.as_str()).copied().unwrap_or(0);
        json!({ "name": user.name, "admin": user.admin, "changed_ns": user.changed_ns, "mechanisms": mechanisms, "acls": own })
    };
    let users: Vec<Value> = web.access.users().into_iter().map(user).collect();
    Json(json!({ "users": users, "damaged": web.access.counters().damaged }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    name: String,
    password: String,
    #[serde(default)]
    admin: bool,
}

/// `POST /api/v1/users`
async fn add_user(State(web): State<Arc<Web>>, Body(user): Body<NewUser>) -> Result<Json<Value>, Refusal> {
    change(web, move |access| {
        access.add_user(&user.name, &user.password, user.admin)?;
        tracing::info!(user = user.name, admin = user.admin, "user added");
        Ok(json!({ "name": user.name, "admin": user.admin }))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Changes {
    password: Option<String>,
    disconnect: bool,
    admin: Option<bool>,
}

/// `PUT /api/v1/users/{name}`
async fn change_user(
    State(web): State<Arc<Web>>,
    Path(name): Path<String>,
    Body(changes): Body<Changes>,
) -> Result<Json<Value>, Refusal> {
    change(web, move |access| {
        if let Some(password) = &changes.password {
            access.set_password(&name, password, changes.disconnect)?;
            tracing::info!(user = name, disconnect = changes.disconnect, "password changed");
        }
        if let Some(admin) = changes.admin {
            access.set_admin(&name, admin)?;
            tracing::info!(user = name, admin, "user changed");
        }
        Ok(json!({ "name": name }))
    })
    .await
}

/// `DELETE /api/v1/users/{name}`
async fn delete_user(_: Local, State(web): State<Arc<Web>>, Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    change(web, move |access| {
        access.delete_user(&name)?;
        tracing::info!(user = name, "user deleted");
        Ok(json!({ "name": name }))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    user: Option<String>,
}

/// `GET /api/v1/acls`
async fn acls(_: Local, State(web): State<Arc<Web>>, Parameters(whose): Parameters<Whose>) -> Json<Value> {
    Json(json!({ "acls": web.access.bindings(&BindingFilter { user: whose.user, ..BindingFilter::default() }) }))
}

/// Permissions as people say them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Said {
    user: String,
    verb: Option<String>,
    operations: Vec<String>,
    topics: Vec<String>,
    groups: Vec<String>,
    transactional_ids: Vec<String>,
    cluster: bool,
    host: String,
    permission: Permission,
    /// Only to revoke: everything of this user.
    all: bool,
}

impl Default for Said {
    fn default() -> Self {
        Self {
            user: String::new(),
            verb: None,
            operations: Vec::new(),
            topics: Vec::new(),
            groups: Vec::new(),
            transactional_ids: Vec::new(),
            cluster: false,
            host: "*".to_owned(),
            permission: Permission::Allow,
            all: false,
        }
    }
}

impl Said {
    fn bindings(&self) -> Result<Vec<Binding>, AccessError> {
        let refused = |why: String| AccessError::Refused(why);
        let host: Host = self.host.parse().map_err(refused)?;
        let verb: Option<Verb> = self.verb.as_deref().map(str::parse).transpose().map_err(refused)?;
        let operations: Vec<Operation> =
            self.operations.iter().map(|text| text.parse()).collect::<Result<_, _>>().map_err(refused)?;
        let named = [
            (ResourceKind::Topic, &self.topics),
            (ResourceKind::Group, &self.groups),
            (ResourceKind::TransactionalId, &self.transactional_ids),
        ];
        let mut resources: Vec<(ResourceKind, String)> =
            named.iter().flat_map(|(kind, names)| names.iter().map(|name| (*kind, name.clone()))).collect();
        if self.cluster {
            resources.push((ResourceKind::Cluster, CLUSTER.to_owned()));
        }
        if resources.is_empty() {
            return Err(AccessError::Refused("say on what: topics, groups, or the cluster".to_owned()));
        }
        let meant = |kind: ResourceKind| {
            let mut all = verb.map_or(Vec::new(), |verb| verb.operations(kind).to_vec());
            all.extend(&operations);
            all
        };
        if let Some((kind, _)) = resources.iter().find(|(kind, _)| meant(*kind).is_empty()) {
            let why = match verb {
                Some(verb) => format!("nobody can {} on a {kind}", verb.word()),
                None => "say what: produce, consume or manage, or operations".to_owned(),
            };
            return Err(AccessError::Refused(why));
        }
        Ok(expand(&self.user, host, self.permission, &resources, meant))
    }
}

/// `POST /api/v1/acls`
async fn grant(State(web): State<Arc<Web>>, Body(said): Body<Said>) -> Result<Json<Value>, Refusal> {
    change(web, move |access| {
        let bindings = said.bindings()?;
        let new = access.grant(&bindings)?;
        tracing::info!(user = said.user, permissions = new, "permissions granted");
        let known = access.users().iter().any(|user| user.name == said.user) || said.user == "*";
        Ok(json!({ "acls": bindings, "new": new, "user_exists": known }))
    })
    .await
}

/// `POST /api/v1/acls/revoke`
async fn revoke(State(web): State<Arc<Web>>, Body(said): Body<Said>) -> Result<Json<Value>, Refusal> {
    change(web, move |access| {
        let filters: Vec<BindingFilter> = if said.all {
            vec![BindingFilter { user: Some(said.user.clone()), ..BindingFilter::default() }]
        } else {
            said.bindings()?.into_iter().map(exactly).collect()
        };
        let gone: Vec<Binding> = access.revoke(&filters)?.into_iter().flatten().collect();
        tracing::info!(user = said.user, permissions = gone.len(), "permissions revoked");
        Ok(json!({ "acls": gone }))
    })
    .await
}

fn exactly(binding: Binding) -> BindingFilter {
    let Binding { user, host, kind, pattern, name, operation, permission } = binding;
    BindingFilter {
        user: Some(user),
        host: Some(host),
        kind: Some(kind),
        pattern: Some(pattern),
        name: Some(name),
        matching: false,
        operation: Some(operation),
        permission: Some(permission),
    }
}

/// Passwords are hashed and journals synced where waiting disturbs nobody.
async fn change(
    web: Arc<Web>,
    change: impl FnOnce(&Access) -> Result<Value, AccessError> + Send + 'static,
) -> Result<Json<Value>, Refusal> {
    let done = tokio::task::spawn_blocking(move || change(&web.access)).await;
    let refusal = |error: AccessError| match error {
        AccessError::Refused(why) => Refusal::wrong(why),
        AccessError::Missing(_) => Refusal::missing(error.to_string()),
        AccessError::Disk(_) => Refusal::failed(error.to_string()),
    };
    done.map_err(|_| Refusal::failed("the change failed; the log says why"))?.map(Json).map_err(refusal)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_people_say_becomes_bindings_or_a_sentence() {
        let said = |text: &str| serde_json::from_str::<Said>(text).unwrap().bindings();
        let shown = said(r#"{"user":"a","verb":"consume","topics":["web-*"],"groups":["g"]}"#).unwrap();
        let shown: Vec<String> = shown.iter().map(|b| format!("{} {} {} {}", b.operation, b.kind, b.pattern, b.name)).collect();
        assert_eq!(shown, ["read topic prefixed web-", "read group literal g"]);
        for (wrong, word) in [
            (r#"{"user":"a","verb":"produce"}"#, "on what"),
            (r#"{"user":"a","topics":["t"]}"#, "say what"),
            (r#"{"user":"a","verb":"produce","groups":["g"]}"#, "nobody can produce"),
            (r#"{"user":"a","verb":"sing","topics":["t"]}"#, "no verb"),
            (r#"{"user":"a","operations":["sing"],"topics":["t"]}"#, "no operation"),
            (r#"{"user":"a","verb":"produce","topics":["t"],"host":"h"}"#, "no IP address"),
        ] {
            let why = said(wrong).unwrap_err().to_string();
            assert!(why.contains(word), "{wrong}: {why}");
        }
    }
}

//! Completes the contract that a router collected, so that authors state only what is particular.
#![cfg(not(target_family = "wasm"))]

use utoipa::{
    __dev::{SchemaReferences, Tags},
    PartialSchema, ToSchema,
    openapi::{
        Components, Content, HttpMethod, InfoBuilder, OpenApi, Ref, RefOr, ResponseBuilder,
        path::Operation,
        security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme},
    },
};

use crate::{Problem, problem::FieldError};

/// Adds the operation that `#[utoipa::path]` described, and the schemas that it names.
pub(crate) fn add<Described>(contract: &mut OpenApi, path: &str, methods: Vec<HttpMethod>)
where
    Described: utoipa::Path + SchemaReferences + for<'t> Tags<'t>,
{
    contract
        .paths
        .add_path_operation(path, methods, <Described as utoipa::Path>::operation());
    let mut schemas = Vec::new();
    <Described as SchemaReferences>::schemas(&mut schemas);
    contract
        .components
        .get_or_insert_with(Components::new)
        .schemas
        .extend(schemas);
}

/// Adds what is the same for every operation: the session, and the problem document.
pub(crate) fn complete(mut contract: OpenApi, name: &str, title: &str, version: &str) -> OpenApi {
    contract.info = InfoBuilder::new()
        .title(name)
        .description(Some(title))
        .version(version)
        .build();
    let components = contract.components.get_or_insert_with(Components::new);
    components
        .schemas
        .insert(Problem::name().into_owned(), Problem::schema());
    components
        .schemas
        .insert(FieldError::name().into_owned(), FieldError::schema());
    let cookie = ApiKeyValue::with_description("__Host-session", "Set by signing in; also taken as a bearer token.");
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    for item in contract.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            finish(operation, name);
        }
    }
    contract
}

fn finish(operation: &mut Operation, name: &str) {
    operation.tags = Some(vec![name.to_owned()]);
    operation.security = Some(match operation.security.take() {
        // `security(())` is utoipa's "optional"; ours says that nobody needs to be signed in.
        Some(stated) if stated.iter().all(|one| *one == SecurityRequirement::default()) => Vec::new(),
        _ => vec![SecurityRequirement::new("session", Vec::<String>::new())],
    });
    let problem = || {
        Content::new(Some(RefOr::<utoipa::openapi::Schema>::Ref(Ref::from_schema_name(
            "Problem",
        ))))
    };
    operation
        .responses
        .responses
        .entry("default".to_owned())
        .or_insert_with(|| {
            let response = ResponseBuilder::new()
                .description("A problem")
                .content(terrace_ground_error::MEDIA_TYPE, problem())
                .build();
            RefOr::T(response)
        });
    for (status, response) in &mut operation.responses.responses {
        if let (true, RefOr::T(response)) = (status.starts_with(['4', '5']), response) {
            response.content.clear();
            response
                .content
                .insert(terrace_ground_error::MEDIA_TYPE.to_owned(), RefOr::T(problem()));
        }
    }
}

//! What a capability shares between all requests of a release: a map by type.

use std::{
    any::{Any, TypeId},
    sync::Arc,
};

/// At most one value of each type. A handful of entries, so a linear scan beats a hash map.
#[derive(Default, Clone)]
pub struct Shared(Vec<(TypeId, Arc<dyn Any + Send + Sync>)>);

impl Shared {
    /// Adds a value; a second one of the same type replaces the first.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: Arc<T>) {
        self.0.retain(|(id, _)| *id != TypeId::of::<T>());
        self.0.push((TypeId::of::<T>(), value));
    }

    /// The value of type `T`, if its capability was granted.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let (_, value) = self.0.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
        value.clone().downcast().ok()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shared({})", self.0.len())
    }
}

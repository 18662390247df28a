//! The router over a real PostgreSQL: values, flights, and the fences one by one.

mod fences;
mod flights;
mod house;
mod values;

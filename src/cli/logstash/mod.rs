mod chain; mod condition; mod parse; #[cfg(test)] mod tests;

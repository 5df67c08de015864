//! Random members, losses and timeouts.


//! Random members, losses and timeouts.

use super::*;

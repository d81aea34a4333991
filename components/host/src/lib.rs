//! Everything that touches Linux, behind traits with recording fakes.

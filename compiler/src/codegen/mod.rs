//! Shapes to C: config headers and one short unit per program.

//! The host against guests written as text, on every engine that is compiled in, over a server of plain memory.

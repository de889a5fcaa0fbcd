//! What filters share across requests and workers: values and queues.

mod counting;
mod killed;
mod mistakes;
mod queues;
mod reload;
mod start;
mod values;
mod zones;

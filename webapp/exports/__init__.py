"""What runs said, taken out: metrics and samples as CSV, Parquet, JSON lines or TensorBoard's event files, as a stream."""

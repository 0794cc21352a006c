"""The log system of a table: a Kafka topic with the changes of every snapshot, in the order of the snapshots."""

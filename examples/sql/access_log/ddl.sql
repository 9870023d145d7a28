-- An access log, as `riverrun ingest nginx access.log` brings it into the topic `nginx`: `combined` or `common` lines.
--
-- A line may be written up to a minute after it happened, as nginx does when a request takes long.

CREATE TABLE nginx (
    ip STRING,
    `time` TIMESTAMP_LTZ(3),
    status INT,
    `bytes` BIGINT,
    path STRING,
    WATERMARK FOR `time` AS `time` - INTERVAL '1' MINUTE
) WITH (
    'connector' = 'riverrun',
    'topic' = 'nginx',
    'format' = 'nginx',
    'scan.startup.mode' = 'earliest-offset'
);

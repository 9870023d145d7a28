-- How many requests end in 2xx, 3xx, 4xx and so on, every minute?

CREATE TABLE status_classes (
    window_start TIMESTAMP(3),
    status_class STRING,
    requests BIGINT
) WITH (
    'connector' = 'riverrun',
    'topic' = 'status_classes',
    'format' = 'json'
);

INSERT INTO status_classes
SELECT window_start, status_class, COUNT(*)
FROM (
    SELECT window_start, window_end, CONCAT(CAST(status / 100 AS STRING), 'xx') AS status_class
    FROM TABLE(TUMBLE(TABLE nginx, DESCRIPTOR(`time`), INTERVAL '1' MINUTE))
)
GROUP BY window_start, window_end, status_class;

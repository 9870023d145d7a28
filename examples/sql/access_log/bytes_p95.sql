-- How large are responses, by the first folder of the path: 95 of 100 are at most so many bytes, every hour?

CREATE TABLE bytes_p95 (
    window_start TIMESTAMP(3),
    prefix STRING,
    p95 DOUBLE
) WITH (
    'connector' = 'riverrun',
    'topic' = 'bytes_p95',
    'format' = 'json'
);

INSERT INTO bytes_p95
SELECT window_start, prefix, PERCENTILE(`bytes`, 0.95)
FROM (
    SELECT window_start, window_end, `bytes`, REGEXP_EXTRACT(path, '^(/[^/?]*)', 1) AS prefix
    FROM TABLE(TUMBLE(TABLE nginx, DESCRIPTOR(`time`), INTERVAL '1' HOUR))
    WHERE path LIKE '/%' AND `bytes` IS NOT NULL
)
GROUP BY window_start, window_end, prefix;

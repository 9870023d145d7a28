-- How many requests does each address make, every five seconds?

CREATE TABLE requests_per_ip (
    window_start TIMESTAMP(3),
    ip STRING,
    requests BIGINT
) WITH (
    'connector' = 'riverrun',
    'topic' = 'requests_per_ip',
    'format' = 'json'
);

INSERT INTO requests_per_ip
SELECT window_start, ip, COUNT(*)
FROM TABLE(TUMBLE(TABLE nginx, DESCRIPTOR(`time`), INTERVAL '5' SECOND))
GROUP BY window_start, window_end, ip;

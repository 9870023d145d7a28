-- Which ten addresses make the most requests, every minute? Of two with as many, the first in the alphabet comes first.

CREATE TABLE top_ips (
    window_start TIMESTAMP(3),
    place BIGINT,
    ip STRING,
    requests BIGINT
) WITH (
    'connector' = 'riverrun',
    'topic' = 'top_ips',
    'format' = 'json'
);

INSERT INTO top_ips
SELECT window_start, place, ip, requests
FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY requests DESC, ip ASC) AS place
    FROM (
        SELECT window_start, window_end, ip, COUNT(*) AS requests
        FROM TABLE(TUMBLE(TABLE nginx, DESCRIPTOR(`time`), INTERVAL '1' MINUTE))
        GROUP BY window_start, window_end, ip
    )
)
WHERE place <= 10;

-- Query 5, hot items: the auctions with the most bids in the last ten seconds, every two seconds.

CREATE TABLE nexmark_q5 (
    auction BIGINT,
    num BIGINT
) WITH (
    'connector' = 'riverrun',
    'topic' = 'nexmark_q5',
    'format' = 'json'
);

INSERT INTO nexmark_q5
SELECT counted.auction, counted.num
FROM (
    SELECT auction, COUNT(*) AS num, window_start, window_end
    FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
    GROUP BY auction, window_start, window_end
) AS counted
JOIN (
    SELECT MAX(num) AS most, window_start, window_end
    FROM (
        SELECT COUNT(*) AS num, window_start, window_end
        FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
        GROUP BY auction, window_start, window_end
    )
    GROUP BY window_start, window_end
) AS busiest
ON counted.window_start = busiest.window_start
    AND counted.window_end = busiest.window_end
    AND counted.num >= busiest.most;

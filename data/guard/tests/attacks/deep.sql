-- Long and deep texts: `{repeat N text}` stands for N times the text.
SELECT {repeat 3000 (}(SELECT secret FROM {other}.secret LIMIT 1){repeat 3000 )}
SELECT {repeat 20000 - }1
SELECT {repeat 15000 NOT }true
SELECT 1{repeat 20000 +1}
{repeat 3000 SELECT (}SELECT 1{repeat 3000 )}
SELECT * FROM {repeat 2000 (SELECT * FROM }{other}.secret{repeat 2000 ) x}
SELECT title FROM items{repeat 2000  UNION ALL SELECT secret FROM {other}.secret}
SELECT ARRAY{repeat 10000 [}1{repeat 10000 ]}
SELECT (SELECT array_agg(secret) FROM {other}.secret){repeat 15000 [1]}
SELECT CASE WHEN true THEN {repeat 2000 CASE WHEN true THEN }1{repeat 2000  END} END
{repeat 1500 WITH a AS (}TABLE {other}.secret{repeat 1500 ) TABLE a}
SELECT f{repeat 3000 (f}{repeat 3000 )}
SELECT 1{repeat 12000 ;}RESET ROLE
{repeat 3000 /* }{repeat 3000 */ }RESET ROLE
SELECT '{repeat 70000 x}' FROM {other}.secret
SELECT {repeat 5000 ''::text||}(SELECT secret FROM {other}.secret LIMIT 1)
SELECT * FROM items WHERE id IN (1{repeat 20000 ,1}) OR EXISTS (TABLE {other}.secret)
SELECT "{repeat 70000 a}" FROM {other}.secret

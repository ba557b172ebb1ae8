-- Which agents name competitors, how often in a call, and how do they speak of them?
SELECT agent, sum(by_agent) AS named_by_agent, sum(by_customer) AS named_by_customer,
       count(*) AS competitors
FROM analytics.agent_competitor
GROUP BY agent ORDER BY named_by_agent DESC, agent;

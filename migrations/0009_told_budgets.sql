-- Today's budget as each process has it, so that whichever looks at the alerts judges by what any of them says.
alter table service_instances add column budget_usd_per_day double precision
  constraint service_instances_budget check (budget_usd_per_day >= 0);

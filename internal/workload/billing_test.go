package workload

import "testing"

func TestS8_5WhatBillingAdds(t *testing.T) {
	nothing, tags, size := Billing{}, Billing{CostCenter: "4711"}, Billing{InstanceType: "ml.m5.large", Instances: 1}
	mixed, pods := Billing{Instances: 3}, Billing{VCPUs: 4, MemoryGB: 16}
	for _, c := range []struct {
		what      string
		new, kept Billing
		adds      bool
	}{
		{"nothing", nothing, nothing, false}, {"tags where nothing is known", tags, nothing, true}, {"a size where tags are known", size, tags, true},
		{"pods where tags are known", pods, tags, true}, {"tags where a size is known", tags, size, false}, {"another size", mixed, size, false},
		{"other tags", Billing{CostCenter: "1"}, tags, false}, {"nothing where something is known", nothing, tags, false},
	} {
		if got := c.new.Adds(c.kept); got != c.adds {
			t.Errorf("%s: adds %t", c.what, got)
		}
	}
}

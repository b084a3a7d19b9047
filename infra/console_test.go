package main_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"nightshift/internal/console"
)

// Who may call the console at all: requests that are signed, and, where an issuer
// is given, those with its tokens. Only the page, which holds no data, is open.
func TestConsoleRoutes(t *testing.T) {
	signed := map[string]string{"ANY " + console.SignedPrefix + "/{proxy+}": "AWS_IAM console"}
	all := map[string]string{"ANY /api/{proxy+}": "JWT console", "GET /": "NONE console", "POST /signin": "NONE console", "GET /{proxy+}": "NONE console"}
	for _, path := range console.RepairPaths() {
		signed["ANY "+console.SignedPrefix+path] = "AWS_IAM repair"
		all["ANY "+path] = "JWT repair"
	}
	maps.Copy(all, signed)
	for _, c := range []struct {
		x    template
		want map[string]string
	}{{full(t), all}, {bare(t), signed}} {
		behind := map[string]string{}
		for _, f := range []string{"console", "repair"} {
			arn := c.x.flat(map[string]any{"Fn::GetAtt": []any{c.x.named(t, "AWS::Lambda::Function", "FunctionName", f).id, "Arn"}})
			for _, i := range c.x.of(t, "AWS::ApiGatewayV2::Integration") {
				if c.x.flat(i.Properties["IntegrationUri"]) == arn {
					behind["integrations/"+c.x.ref(i.id)] = f
				}
			}
		}
		got := map[string]string{}
		for _, r := range c.x.of(t, "AWS::ApiGatewayV2::Route") {
			got[r.Properties["RouteKey"].(string)] = r.Properties["AuthorizationType"].(string) + " " + behind[c.x.flat(r.Properties["Target"])]
			if needs := r.Properties["AuthorizerId"] != nil; needs != (r.Properties["AuthorizationType"] == "JWT") {
				t.Errorf("%v: authorizer %v", r.Properties["RouteKey"], r.Properties["AuthorizerId"])
			}
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("routes %v\nwant %v", got, c.want)
		}
	}
	x := full(t)
	tokens := x.of(t, "AWS::ApiGatewayV2::Authorizer")[0].Properties
	if got := fmt.Sprint(at(tokens, "JwtConfiguration"), tokens["IdentitySource"]); got != "map[Audience:[nightshift-console] Issuer:https://login.example.com/pool] [$request.header.Authorization]" {
		t.Errorf("tokens are believed of %s", got)
	}
	stage := x.of(t, "AWS::ApiGatewayV2::Stage")[0].Properties
	if format, _ := at(stage, "AccessLogSettings", "Format").(string); !strings.Contains(format, "$context.routeKey") || strings.Contains(format, "$context.path") || strings.Contains(format, "query") || strings.Contains(format, "identity") {
		t.Errorf("the log of requests says %s", format)
	}
	if at(stage, "DefaultRouteSettings", "ThrottlingRateLimit") == nil {
		t.Error("nobody's script is held back")
	}
	invokers := slices.DeleteFunc(x.of(t, "AWS::Lambda::Permission"), func(r resource) bool { return r.Properties["Principal"] != "apigateway.amazonaws.com" })
	if len(invokers) != 2 || slices.ContainsFunc(invokers, func(r resource) bool { return !strings.Contains(fmt.Sprint(r.Properties["SourceArn"]), "execute-api") }) {
		t.Errorf("the console is invoked by %v", invokers)
	}
}

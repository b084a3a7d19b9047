package stack

import (
	"fmt"
	"net/url"
	"regexp"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
)

// The functions behind the HTTP API for people: repairs has those of its paths that
// ask engines and the identity store, served has all else.
const (
	served  = "console"
	repairs = "repair"
)

// repairPaths are the paths of repairs, below each way into the API.
var repairPaths = []string{"/parked/{id}/replay", "/repair", "/restore"}

const (
	// API Gateway gives up after its own most; the function goes on with what it
	// has begun.
	consoleMilliseconds = 30_000
	// People and their pages ask a few times a second; more is refused with 429,
	// so that nobody's script uses up what the functions share.
	consolePerSecond = 50
	consoleBurst     = 100
)

// consoleLog is what is kept of each request: neither its parameters nor what it
// carried.
const consoleLog = `{"requestId":"$context.requestId","time":"$context.requestTime","route":"$context.routeKey","status":"$context.status",` +
	`"latency":"$context.responseLatency","length":"$context.responseLength","authorizer":"$context.authorizer.error","integration":"$context.integrationErrorMessage"}`

var audienceForm = regexp.MustCompile(`^[\w.:/@+=-]{1,256}$`)

// console reads whose tokens are believed: an issuer and an audience, or none.
func (r *reader) console(s *Settings) {
	s.ConsoleIssuer, s.ConsoleAudience = r.raw("consoleIssuer"), r.text("consoleAudience", "", audienceForm)
	if u, err := url.Parse(s.ConsoleIssuer); s.ConsoleIssuer != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		r.refuse("consoleIssuer", "is %q", s.ConsoleIssuer)
	}
	if s.ConsoleIssuer != "" && s.ConsoleAudience == "" {
		r.refuse("consoleAudience", "is not given, and consoleIssuer is")
	}
	for _, key := range []string{"consoleAudience", "consoleClientId"} {
		if s.ConsoleIssuer == "" && r.raw(key) != "" {
			r.refuse("consoleIssuer", "is not given, and %s is", key)
		}
	}
}

// addConsole makes the HTTP API for people. Under /iam/ it takes requests that
// are signed with credentials of AWS, from the command line; under /api/, where
// an issuer is given, those with a token of it. The page itself holds no data and
// is open: a browser has no token before it.
func (d *deployment) addConsole() {
	api := awsapigatewayv2.NewCfnApi(d.stack, text("Console"), &awsapigatewayv2.CfnApiProps{
		Name: text(d.named(served)), Description: text("Nightshift for people: API and page."), ProtocolType: text("HTTP"),
	})
	targets := map[string]*string{}
	for id, name := range map[string]string{"Console": served, "Repair": repairs} {
		f := d.functions[name]
		behind := awsapigatewayv2.NewCfnIntegration(d.stack, text(id+"Integration"), &awsapigatewayv2.CfnIntegrationProps{
			ApiId: api.Ref(), IntegrationType: text("AWS_PROXY"), IntegrationUri: f.FunctionArn(), PayloadFormatVersion: text("2.0"), TimeoutInMillis: number(consoleMilliseconds),
		})
		targets[name] = awscdk.Fn_Join(text(""), &[]*string{text("integrations/"), behind.Ref()})
		awslambda.NewCfnPermission(d.stack, text(id+"Permission"), &awslambda.CfnPermissionProps{
			Action: text("lambda:InvokeFunction"), FunctionName: f.FunctionArn(), Principal: text("apigateway.amazonaws.com"),
			SourceArn: awscdk.Fn_Sub(text("arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*"), &map[string]*string{"Api": api.Ref()}),
		})
	}
	route := func(id, key, to string, props awsapigatewayv2.CfnRouteProps) {
		props.ApiId, props.RouteKey, props.Target = api.Ref(), text(key), targets[to]
		made := awsapigatewayv2.NewCfnRoute(d.stack, text("ConsoleRoute"+id), &props)
		if *props.AuthorizationType == "NONE" {
			accept(made, "AwsSolutions-APIG4", "The page and its sign-in hold no data; what the page shows it asks for with a token, on a route that wants one.")
		}
	}
	signed := awsapigatewayv2.CfnRouteProps{AuthorizationType: text("AWS_IAM")}
	route("Signed", "ANY /iam/{proxy+}", served, signed)
	for i, path := range repairPaths {
		route(fmt.Sprint("SignedRepair", i), "ANY /iam/api"+path, repairs, signed)
	}
	if d.ConsoleIssuer != "" {
		authorizer := awsapigatewayv2.NewCfnAuthorizer(d.stack, text("ConsoleTokens"), &awsapigatewayv2.CfnAuthorizerProps{
			ApiId: api.Ref(), Name: text("tokens"), AuthorizerType: text("JWT"), IdentitySource: texts("$request.header.Authorization"),
			JwtConfiguration: &awsapigatewayv2.CfnAuthorizer_JWTConfigurationProperty{Issuer: text(d.ConsoleIssuer), Audience: texts(d.ConsoleAudience)},
		})
		tokens, open := awsapigatewayv2.CfnRouteProps{AuthorizationType: text("JWT"), AuthorizerId: authorizer.Ref()}, awsapigatewayv2.CfnRouteProps{AuthorizationType: text("NONE")}
		route("Tokens", "ANY /api/{proxy+}", served, tokens)
		for i, path := range repairPaths {
			route(fmt.Sprint("TokensRepair", i), "ANY /api"+path, repairs, tokens)
		}
		route("Page", "GET /", served, open)
		route("SignIn", "POST /signin", served, open)
		route("Assets", "GET /{proxy+}", served, open)
	}
	group := awslogs.NewLogGroup(d.stack, text("ConsoleLogs"), &awslogs.LogGroupProps{
		LogGroupName: text("/aws/vendedlogs/apis/" + d.named(served)), Retention: d.retention(), RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	awsapigatewayv2.NewCfnStage(d.stack, text("ConsoleStage"), &awsapigatewayv2.CfnStageProps{
		ApiId: api.Ref(), StageName: text("$default"), AutoDeploy: yes,
		AccessLogSettings:    &awsapigatewayv2.CfnStage_AccessLogSettingsProperty{DestinationArn: group.LogGroupArn(), Format: text(consoleLog)},
		DefaultRouteSettings: &awsapigatewayv2.CfnStage_RouteSettingsProperty{ThrottlingRateLimit: number(consolePerSecond), ThrottlingBurstLimit: number(consoleBurst)},
	})
	awscdk.NewCfnOutput(d.stack, text("ConsoleUrl"), &awscdk.CfnOutputProps{Value: api.AttrApiEndpoint()})
}

#include "engine/network.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proc.h"
#include "engine/network_internal.h"
#include "tests/tap.h"

/* The container files of the room are played by this program. Everything
 * happens in namespaces of its own. Needs root. */

static char dir[] = "/tmp/proa-engine-net-XXXXXX";
static struct engine engine;
static struct container *containers[8];
static size_t n_containers;
static char events[4096];

int container_find(struct engine *e, const char *ref, struct container **ret, struct error *err)
{
	(void)e;
	for (size_t i = 0; i < n_containers; i++)
		if (strcmp(containers[i]->id, ref) == 0 || strcmp(containers[i]->name, ref) == 0) {
			*ret = containers[i];
			return 0;
		}
	return error_set(err, ERR_NOT_FOUND, "No such container: %s", ref);
}

struct container *container_unref(struct container *c)
{
	(void)c;
	return NULL;
}

bool container_is_running(const struct container *c)
{
	return c->status == CONTAINER_RUNNING;
}

char *container_file_path(const struct container *c, const char *name)
{
	return cstr_format("%s/%s-%s", dir, c->name, name);
}

void event_emit(struct engine *e, const char *type, const char *action, const char *id,
		const struct event_attr *attrs, size_t n_attrs)
{
	size_t at = strlen(events);

	(void)e;
	(void)id;
	for (size_t i = 0; i < n_attrs; i++)
		if (strcmp(attrs[i].key, "name") == 0)
			snprintf(events + at, sizeof(events) - at, "%s %s %s;", type, action,
				 attrs[i].value);
}

static const struct json *parse(struct arena *a, const char *text)
{
	const struct json *j = NULL;
	struct error err;

	if (json_parse(a, text, strlen(text), &j, &err) < 0)
		printf("Bail out! %s: %s\n", text, err.msg);
	return j;
}

static struct container *make(const char *name, const char *config, const char *host_config,
			      const char *networking)
{
	struct container *c = new0(struct container);

	c->engine = &engine;
	c->op = c->lock = (struct lock)LOCK_INIT;
	c->name = xstrdup(name);
	snprintf(c->id, sizeof(c->id), "%016zx%048x", n_containers + 1, 0);
	c->config = parse(&c->arena, config);
	c->host_config = parse(&c->arena, host_config);
	c->networking = networking ? parse(&c->arena, networking) : NULL;
	containers[n_containers++] = c;
	return c;
}

static void free_containers(void)
{
	for (size_t i = 0; i < n_containers; i++) {
		free(containers[i]->name);
		arena_release(&containers[i]->arena);
		free(containers[i]);
	}
}

static int shell(const char *text)
{
	const char *argv[] = { "sh", "-c", text, NULL };
	struct proc_fd err = { STDERR_FILENO, STDERR_FILENO };
	struct proc_spec spec = {
		.path = "sh", .argv = argv, .fds = &err, .n_fds = 1, .cwd_fd = FD_NONE
	};
	struct proc p;
	int status = -1;

	if (proc_spawn(&spec, &p, NULL) < 0 || proc_wait(&p, 10000, NULL, &status, NULL) < 0)
		return -1;
	return status;
}

/* Create a network from a body: "" or the error's text. */
static const char *create_as(const char *body, bool duplicates)
{
	static struct error err;
	auto_(arena) a = ARENA_INIT;
	auto_(buf) b = BUF_INIT(65536);
	struct jsonw w;

	jsonw_init(&w, &b);
	err.msg[0] = '\0';
	if (network_create(&engine, parse(&a, body), duplicates, &w, &err) < 0)
		printf("# %s\n", err.msg);
	return err.msg;
}

static const char *create(const char *body)
{
	return create_as(body, false);
}

static const char *call_by_body(int (*fn)(struct engine *, const char *, const struct json *,
					  struct error *),
				const char *ref, const char *body)
{
	static struct error err;
	auto_(arena) a = ARENA_INIT;

	err.msg[0] = '\0';
	(void)!fn(&engine, ref, parse(&a, body), &err);
	return err.msg;
}

static const char *remove_network(const char *ref)
{
	static struct error err;

	err.msg[0] = '\0';
	(void)!network_remove(&engine, ref, &err);
	return err.msg;
}

/* A value of `network inspect`, as text. */
static char *inspect(const char *ref, const char *path)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) b = BUF_INIT(65536);
	auto_(buf) out = BUF_INIT(65536);
	const struct json *j;
	struct jsonw w;

	jsonw_init(&w, &b);
	if (network_inspect(&engine, ref, false, NULL, &w, NULL) < 0)
		return xstrdup("(none)");
	if (jsonw_finish(&w, NULL) < 0)
		return xstrdup("(unfinished)");
	j = json_path(parse(&a, b.data), path);
	jsonw_init(&w, &out);
	jsonw_value(&w, j);
	return buf_detach(&out, NULL);
}

static char *settings(struct container *c, const char *path)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) b = BUF_INIT(65536);
	auto_(buf) out = BUF_INIT(65536);
	struct jsonw w;

	jsonw_init(&w, &b);
	network_settings_write(c, &w);
	if (jsonw_finish(&w, NULL) < 0)
		return xstrdup("(unfinished)");
	jsonw_init(&w, &out);
	jsonw_value(&w, json_path(parse(&a, b.data), path));
	return buf_detach(&out, NULL);
}

#define is_inspect(ref, path, want, what) \
	do { \
		autofree char *got_ = inspect((ref), (path)); \
		is_str(got_, (want), (what)); \
	} while (0)
#define is_setting(c, path, want, what) \
	do { \
		autofree char *got_ = settings((c), (path)); \
		is_str(got_, (want), (what)); \
	} while (0)

static struct network_sandbox sandbox;

static const char *attach(struct container *c)
{
	static struct error err;

	free(sandbox.hosts);
	free(sandbox.resolv_conf);
	sandbox = (struct network_sandbox){ 0 };
	err.msg[0] = '\0';
	if (network_attach(c, &sandbox, &err) == 0)
		c->status = CONTAINER_RUNNING;
	return err.msg;
}

static void detach(struct container *c)
{
	c->status = CONTAINER_EXITED;
	network_detach(c);
}

static void test_networks(void)
{
	is_str(create("{\"Name\":\"a\",\"IPAM\":{\"Config\":[{\"Subnet\":\"10.91.0.0/24\"}]},"
		      "\"Labels\":{\"k\":\"v\"}}"),
	       "", "create with a subnet");
	is_str(create("{\"Name\":\"a\"}"), "network with name a already exists",
	       "names are unique");
	is_str(create_as("{\"Name\":\"a\",\"CheckDuplicate\":true}", true),
	       "network with name a already exists", "also for an old client that asks so");
	is_str(create("{\"Name\":\"host\"}"),
	       "operation is not permitted on predefined host network", "predefined names");
	is_str(create("{\"Name\":\"b\",\"IPAM\":{\"Config\":[{\"Subnet\":\"10.91.0.128/25\"}]}}"),
	       "Pool overlaps with other one on this address space", "overlapping subnets");
	is_str(create("{\"Name\":\"b\",\"Driver\":\"macvlan\"}"),
	       "network driver \"macvlan\" is not supported yet", "drivers of later");
	is_str(create("{\"Name\":\"b\",\"Driver\":\"weird\"}"), "plugin \"weird\" not found",
	       "drivers nobody knows");
	is_str(create("{\"Name\":\"b\",\"IPAM\":{\"Config\":[{\"Subnet\":\"nonsense\"}]}}"),
	       "failed to parse pool request: invalid CIDR address: nonsense", "bad subnets");
	is_str(create("{\"Name\":\"b\",\"EnableIPv6\":true}"), "",
	       "a subnet of our choice, with IPv6");
	is_inspect("a", "IPAM.Config", "[{\"Subnet\":\"10.91.0.0/24\"}]",
		   "what was asked is shown");
	is_inspect("a", "Labels", "{\"k\":\"v\"}", "labels");
	is_inspect("b", "EnableIPv6", "true", "IPv6 by itself");
	is_inspect("bridge", "Options",
		   "{\"com.docker.network.bridge.default_bridge\":\"true\","
		   "\"com.docker.network.bridge.enable_icc\":\"true\","
		   "\"com.docker.network.bridge.enable_ip_masquerade\":\"true\","
		   "\"com.docker.network.bridge.host_binding_ipv4\":\"0.0.0.0\","
		   "\"com.docker.network.bridge.name\":\"proa0\","
		   "\"com.docker.network.driver.mtu\":\"1500\"}",
		   "the default bridge is Docker's");
	is_inspect("nosuch", "Id", "(none)", "unknown ones are not found");
	is_str(remove_network("bridge"), "bridge is a pre-defined network and cannot be removed",
	       "predefined ones stay");
	is_str(remove_network("nosuch"), "network nosuch not found", "remove of nothing");
}

static void test_bridge(void)
{
	struct container *c =
	    make("one", "{\"Hostname\":\"h1\",\"ExposedPorts\":{\"80/tcp\":{},\"90/udp\":{}}}",
		 "{\"NetworkMode\":\"default\",\"PortBindings\":{\"80/tcp\":[{"
		 "\"HostIp\":\"127.0.0.1\",\"HostPort\":\"18080\"}]},"
		 "\"ExtraHosts\":[\"db:10.0.0.9\",\"gw:host-gateway\"]}",
		 NULL);

	LOCKED(&c->op);
	is_int(network_container_create(c, NULL), 0, "create");
	is_setting(c, "Networks.bridge.IPAddress", "\"\"", "no address before the start");
	is_str(attach(c), "", "start");
	ok(strstr(sandbox.netns_path, "/netns/") != NULL, "a sandbox");
	is_setting(c, "IPAddress", "\"172.17.0.2\"", "the first address");
	is_setting(c, "MacAddress", "\"02:42:ac:11:00:02\"", "with Docker's MAC");
	is_setting(
	    c, "Ports",
	    "{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"18080\"}],\"90/udp\":null}",
	    "ports as Docker shows them");
	ok(strstr(sandbox.hosts, "172.17.0.2\th1\n") && strstr(sandbox.hosts, "10.0.0.9\tdb\n") &&
	       strstr(sandbox.hosts, "172.17.0.1\tgw\n"),
	   "hosts has own name, extra hosts and the gateway");
	ok(strstr(sandbox.resolv_conf, "nameserver ") && !strstr(sandbox.resolv_conf, "127.0.0"),
	   "resolv.conf has servers that can be reached");
	detach(c);
	is_setting(c, "Ports", "{}", "no ports after the end");
	is_setting(c, "SandboxKey", "\"\"", "no sandbox");
	is_str(attach(c), "", "start again");
	detach(c);
}

static void test_user(void)
{
	struct container *c = make("two", "{\"Hostname\":\"h2\"}", "{\"NetworkMode\":\"a\"}",
				   "{\"a\":{\"IPAMConfig\":{\"IPv4Address\":\"10.91.0.77\"},"
				   "\"Aliases\":[\"al\"]}}");
	struct container *d = make("three", "{}", "{\"NetworkMode\":\"a\"}", NULL);
	struct container *s = make("shared", "{}", "{\"NetworkMode\":\"container:two\"}", NULL);
	char two[256];

	{
		LOCKED(&c->op);
		is_int(network_container_create(c, NULL), 0, "create on a network of the user's");
		is_str(attach(c), "", "start");
		is_setting(c, "Networks.a.IPAddress", "\"10.91.0.77\"", "the address asked for");
		is_setting(c, "Networks.a.Aliases", "[\"al\",\"000000000000\"]",
			   "alias and short id");
		ok(strcmp(sandbox.resolv_conf, "nameserver 127.0.0.11\noptions ndots:0\n") == 0 ||
		       cstr_starts(sandbox.resolv_conf, "nameserver 127.0.0.11\n"),
		   "its own name server");
		snprintf(two, sizeof(two), "%s", sandbox.netns_path);
	}
	{
		LOCKED(&s->op);
		is_int(network_container_create(s, NULL), 0, "create in another's namespace");
		is_str(attach(s), "", "start");
		is_str(sandbox.netns_path, two, "the same sandbox");
		detach(s);
	}
	is_int(network_container_create(d, NULL), 0, "another");
	is_str(attach(d), "", "start it");
	is_setting(d, "Networks.a.IPAddress", "\"10.91.0.2\"", "the next address");
	ok(cstr_starts(remove_network("a"), "error while removing network: network a id ") &&
	       cstr_ends(remove_network("a"), " has active endpoints"),
	   "a network in use stays");
	is_str(call_by_body(network_connect, "b",
			    "{\"Container\":\"two\",\"EndpointConfig\":{"
			    "\"Aliases\":[\"x\"]}}"),
	       "", "connect a running container");
	is_setting(c, "Networks.b.Aliases", "[\"x\",\"000000000000\"]", "shown at once");
	is_str(call_by_body(network_connect, "b", "{\"Container\":\"two\"}"),
	       "endpoint with name two already exists in network b", "only once");
	is_str(call_by_body(network_disconnect, "a", "{\"Container\":\"two\"}"), "", "disconnect");
	is_setting(c, "Networks.a", "null", "gone from inspect");
	is_str(call_by_body(network_connect, "bridge",
			    "{\"Container\":\"two\",\"EndpointConfig\":{"
			    "\"IPAMConfig\":{\"IPv4Address\":\"1.2.3.4\"}}}"),
	       "user specified IP address is supported on user defined networks only",
	       "addresses on the default bridge");
}

/* What clients of an API before 1.44 may do: two networks of one name, and to connect twice. */
static void test_twice(void)
{
	struct container *c = make("twice", "{}", "{\"NetworkMode\":\"bridge\"}", NULL);

	is_str(create_as("{\"Name\":\"twin\"}", true), "", "a name");
	is_int(network_container_create(c, NULL), 0, "a container that does not run");
	is_str(call_by_body(network_connect, "twin", "{\"Container\":\"twice\"}"), "", "connect");
	is_str(call_by_body(network_connect, "twin", "{\"Container\":\"twice\"}"), "",
	       "again: nothing changes");
	is_str(call_by_body(network_connect, "bridge", "{\"Container\":\"twice\"}"), "",
	       "nor by its first network");
	is_str(create_as("{\"Name\":\"twin\"}", true), "", "the name once more");
	is_str(call_by_body(network_connect, "twin", "{\"Container\":\"twice\"}"),
	       "network twin is ambiguous (2 matches found based on name)", "it finds neither");
	is_str(remove_network("twin"), "network twin is ambiguous (2 matches found based on name)",
	       "and removes neither");
}

static int open_engine(struct error *err)
{
	autofree char *root = cstr_format("%s/root", dir), *run = cstr_format("%s/run", dir);
	int r;

	engine = (struct engine){ .data_fd = FD_NONE, .exec_fd = FD_NONE };
	engine.cfg.data_root = xstrdup(root);
	engine.cfg.exec_root = xstrdup(run);
	snprintf(engine.id, sizeof(engine.id), "test-engine");
	r = store_open(root, NULL, &engine.store, err);
	return r < 0 ? r : network_room_open(&engine, err);
}

static void close_engine(void)
{
	network_room_close(&engine);
	store_close(engine.store);
	free((char *)(uintptr_t)engine.cfg.data_root);
	free((char *)(uintptr_t)engine.cfg.exec_root);
}

static void test_restart(void)
{
	autofree char *before = settings(containers[1], "Networks.b"), *after = NULL;
	struct error err;

	close_engine();
	is_int(open_engine(&err), 0, "a new proad");
	is_int(network_room_restore(&engine, &err), 0, "restores");
	after = settings(containers[1], "Networks.b");
	is_str(after, before, "a running container keeps its endpoint");
	is_setting(containers[0], "Networks.bridge.IPAddress", "\"\"", "a stopped one has none");
}

static void test_step(void)
{
	struct network_provider *p = network_provider_get(&engine);
	struct network_step step;
	struct error err;

	is_int(p->join(p, "", &step, &err), 0, "a RUN step joins the default bridge");
	ok(step.netns_path && access(step.netns_path, F_OK) == 0, "in a sandbox");
	ok(strstr(step.hosts, "buildkitsandbox") != NULL, "with its hosts");
	p->leave(p, &step);
	is_int(p->join(p, "none", &step, &err), 0, "or nothing");
	p->leave(p, &step);
	is_int(p->join(p, "host", &step, &err), 0, "or the host's");
	ok(!step.netns_path, "without a sandbox");
	p->leave(p, &step);
	is_int(p->join(p, "nosuch", &step, &err), -ERR_NOT_FOUND, "not what is not there");
}

int main(int argc, char **argv)
{
	struct error err;

	net_helper_main(argc, argv);
	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		printf("1..0 # SKIP needs root and namespaces\n");
		return 0;
	}
	if (!mkdtemp(dir) || mount("none", dir, "tmpfs", 0, NULL) < 0 ||
	    shell("ip link set lo up") != 0)
		return 1;
	if (open_engine(&err) < 0 || network_room_restore(&engine, &err) < 0) {
		printf("Bail out! %s\n", err.msg);
		return 1;
	}
	test_networks();
	test_bridge();
	test_user();
	test_twice();
	test_restart();
	test_step();
	for (size_t i = 0; i < n_containers; i++) {
		containers[i]->status = CONTAINER_EXITED;
		network_forget(containers[i]);
	}
	is_str(remove_network("a"), "", "a network that is not used goes");
	is_str(remove_network("b"), "", "both");
	ok(strstr(events, "network create a;") && strstr(events, "network connect bridge;") &&
	       strstr(events, "network disconnect bridge;") && strstr(events, "network destroy b;"),
	   "events tell it all");
	close_engine();
	free_containers();
	free(sandbox.hosts);
	free(sandbox.resolv_conf);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	return tap_done();
}

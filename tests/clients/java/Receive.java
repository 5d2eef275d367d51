import com.sun.net.httpserver.Headers;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public class Receive {
    static final byte[] KEY = Base64.getDecoder().decode(System.getenv("FLAGTRAIL_SECRET").replace("whsec_", ""));
    // Keep them where they outlive a restart.
    static final Set<String> IDS = ConcurrentHashMap.newKeySet(), POSITIONS = ConcurrentHashMap.newKeySet();

    static int receive(Headers headers, byte[] body) throws Exception {
        String id = headers.getFirst("webhook-id"), timestamp = headers.getFirst("webhook-timestamp");
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(KEY, "HmacSHA256"));
        mac.update((id + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8));
        byte[] expected = ("v1," + Base64.getEncoder().encodeToString(mac.doFinal(body))).getBytes();
        boolean fits = Arrays.stream(headers.getFirst("webhook-signature").split(" "))
                .anyMatch(given -> MessageDigest.isEqual(given.getBytes(), expected));
        if (!fits || Math.abs(Instant.now().getEpochSecond() - Long.parseLong(timestamp)) > 300) {
            return 401;
        }
        if (IDS.contains(id)) {
            return 200; // A repeat, dropped.
        }
        String previous = headers.getFirst("x-flagtrail-previous"); // On ordered endpoints.
        if (previous != null && !POSITIONS.contains(previous)) {
            System.out.println("a gap: " + previous + " never came");
        }
        System.out.println(new String(body, StandardCharsets.UTF_8)); // The work; only then is it seen.
        IDS.add(id);
        POSITIONS.add(headers.getFirst("x-flagtrail-position"));
        return 200;
    }

    // A server around it.
    public static void main(String[] args) throws Exception {
        var server = com.sun.net.httpserver.HttpServer.create(new java.net.InetSocketAddress("127.0.0.1", 8000), 0);
        server.createContext("/", exchange -> {
            byte[] body = exchange.getRequestBody().readAllBytes();
            int status;
            try {
                status = receive(exchange.getRequestHeaders(), body);
            } catch (Exception wrong) {
                status = 400;
            }
            exchange.sendResponseHeaders(status, -1);
            exchange.close();
        });
        server.start();
    }
}

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.ScalarFunction;

/** Nexmark's function of the user: how often a character (its first byte) is in a text. On bytes, which Flink holds anyway. */
public class CountChar extends ScalarFunction {
    public long eval(
            @DataTypeHint(value = "STRING", bridgedTo = StringData.class) StringData text,
            @DataTypeHint(value = "STRING", bridgedTo = StringData.class) StringData character) {
        long count = 0;
        if (text != null && character != null) {
            byte wanted = character.toBytes()[0];
            for (byte each : text.toBytes()) {
                count += each == wanted ? 1 : 0;
            }
        }
        return count;
    }
}
